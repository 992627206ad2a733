// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// elsewhere begins Alibaba Cloud's annotations.
const elsewhere = "service.beta.kubernetes.io/alibaba-cloud-loadbalancer-"

// annotate adds annotations to a Service, each as key=value.
func annotate(texts ...string) func(*corev1.Service) {
	return func(s *corev1.Service) {
		for _, text := range texts {
			key, value, _ := strings.Cut(text, "=")
			s.Annotations[elsewhere+key] = value
		}
	}
}

// preferred has the nodes of zones announce an address in the order that a Service asks for, without those that are cordoned,
// and then those with a label alone. Nothing of it touches other addresses.
func preferred(t *testing.T, c *cloud, web addresses) {
	c.patchNode(t, "n1", `{"labels":{"topology.kubernetes.io/zone":"east"}}`)
	c.patchNode(t, "n2", `{"labels":{"topology.kubernetes.io/zone":"west"}}`)
	addrs := c.service(t, "zoned", app("web"), annotate("master-zoneid=east", "slave-zoneid=west", "remove-unscheduled-backend=on"))
	c.awaitHops(t, addrs, "n1")
	answered(t, c, addrs)
	c.cordon(t, "n1", true)
	c.awaitHops(t, addrs, "n2")
	answered(t, c, addrs)
	c.awaitHops(t, web, c.Nodes()...)
	c.cordon(t, "n1", false)
	c.awaitHops(t, addrs, "n1")
	_, err := c.Client().CoreV1().Services("default").Patch(t.Context(), "zoned", types.MergePatchType,
		fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"kubernetes.io/hostname=n3"}}}`, elsewhere+"backend-label"), metav1.PatchOptions{})
	must(t, err)
	c.awaitHops(t, addrs, "n3")
	answered(t, c, addrs)
	c.deleteService(t, "zoned")
	c.awaitHops(t, addrs)
	for _, node := range []string{"n1", "n2"} {
		c.patchNode(t, node, `{"labels":{"topology.kubernetes.io/zone":null}}`)
	}
}

func (c *cloud) cordon(t *testing.T, node string, cordoned bool) {
	t.Helper()
	_, err := c.Client().CoreV1().Nodes().Patch(t.Context(), node, types.MergePatchType,
		fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, cordoned), metav1.PatchOptions{})
	must(t, err)
}

// weighted has two endpoints of a Service with Local policy on one node and one on another: a router that balances by the
// bandwidth of links sends twice as much to the first.
func weighted(t *testing.T, c *cloud, _ addresses) {
	ctx := t.Context()
	var pods []*lab.Pod
	for i, node := range []string{"n1", "n1", "n2"} {
		pod, err := c.StartPod(ctx, lab.PodSpec{Name: fmt.Sprintf("weighted-%d", i), Node: node, Labels: app("weighted")})
		must(t, err)
		pods = append(pods, pod)
	}
	addrs := c.service(t, "weighted", app("weighted"), localPolicy, annotate("scheduler=wrr"))
	c.awaitHops(t, addrs, "n1", "n2")
	lab.Await(ctx, t, "twice the weight for n1 at FRR", func(ctx context.Context) (bool, string, error) {
		out, err := c.Exec(ctx, lab.Router, "ip", "route", "show", addrs[0].String()+"/32")
		first, second := weight(out, "192.0.2.11"), weight(out, "192.0.2.12")
		return second > 0 && first >= 2*second-1 && first <= 2*second+1, out, err
	})
	for _, r := range c.routers {
		for _, addr := range addrs {
			c.awaitAnswers(t, r, addr, "weighted-0", "weighted-1", "weighted-2")
		}
	}
	c.deleteService(t, "weighted")
	c.awaitHops(t, addrs)
	for _, pod := range pods {
		must(t, c.DeletePod(ctx, pod))
	}
}

// weight returns that of a next hop in what ip route says; 0 without one.
func weight(route, hop string) int {
	found := regexp.MustCompile(regexp.QuoteMeta(hop) + ` .*weight (\d+)`).FindStringSubmatch(route)
	if found == nil {
		return 0
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

// awaitOutlasted waits until the route through n2 to one address is withdrawn while that to another, whose Service asks for
// more time, is still announced.
func (c *cloud) awaitOutlasted(t *testing.T, withdrawn, announced netip.Addr) {
	t.Helper()
	lab.Await(t.Context(), t, fmt.Sprintf("n2 to announce %s, and %s no longer", announced, withdrawn), func(ctx context.Context) (bool, string, error) {
		var has [2]bool
		for i, addr := range []netip.Addr{withdrawn, announced} {
			out, err := c.frr.Vtysh(ctx, fmt.Sprintf("show bgp ipv4 unicast %s/32", addr))
			if err != nil {
				return false, "", err
			}
			has[i] = strings.Contains(out, "192.0.2.12")
		}
		return !has[0] && has[1], fmt.Sprintf("announced: %v", has), nil
	})
}
