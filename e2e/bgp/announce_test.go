// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// answered asks from behind each router until all pods have answered.
func answered(t *testing.T, c *cloud, web addresses) {
	for _, r := range c.routers {
		for _, addr := range web {
			c.awaitAnswers(t, r, addr, "web-n1", "web-n2", "web-n3")
		}
	}
}

// awaitAnswers asks from behind a router until exactly these pods have answered, and none has for the last 20 requests
// that is not among them.
func (c *cloud) awaitAnswers(t *testing.T, r router, addr fmt.Stringer, pods ...string) {
	t.Helper()
	target := "http://" + net.JoinHostPort(addr.String(), "80")
	lab.Await(t.Context(), t, fmt.Sprintf("answers of %v from %s, asked from %s", pods, target, r.far), func(ctx context.Context) (bool, string, error) {
		seen := map[string]bool{}
		for range 20 {
			a, err := c.Ask(ctx, r.far, target)
			if err != nil {
				return false, err.Error(), nil //nolint:nilerr // kube-proxy may be slower than the router
			}
			seen[a.Pod] = true
		}
		got := slices.Sorted(maps.Keys(seen))
		return slices.Equal(got, pods), fmt.Sprint(got), nil
	})
}

// answer returns what somebody answers to the client behind a router.
func (c *cloud) answer(t *testing.T, r router, target string) (a lab.Answer) {
	t.Helper()
	lab.Await(t.Context(), t, "an answer from "+target, func(ctx context.Context) (bool, string, error) {
		var err error
		a, err = c.Ask(ctx, r.far, target)
		return err == nil, fmt.Sprint(err), nil
	})
	return a
}

// told looks for the sessions where an operator would.
func told(t *testing.T, c *cloud, web addresses) {
	c.awaitSessions(t, "n1", time.Time{}, web)
	for _, line := range []string{`bgp_session_up{peer="tor-a"} 1`, `bgp_prefixes{peer="tor-b"} 2`, `bgp_bfd_up{peer="tor-b"} 1`} {
		lab.Await(t.Context(), t, "the metrics to have "+line, func(ctx context.Context) (bool, string, error) {
			text, err := c.HTTPGet(ctx, "n1", "http://127.0.0.1:7480/metrics")
			return strings.Contains(text, line), fmt.Sprint(err), nil
		})
	}
}

// local has endpoints on two nodes and takes one away: traffic stays on the node that it reached.
func local(t *testing.T, c *cloud, _ addresses) {
	ctx := t.Context()
	var pods []*lab.Pod
	for _, node := range []string{"n1", "n2"} {
		pod, err := c.StartPod(ctx, lab.PodSpec{Name: "local-" + node, Node: node, Labels: app("local")})
		must(t, err)
		pods = append(pods, pod)
	}
	addrs := c.service(t, "local", app("local"), localPolicy, annotated(map[string]string{"bgp-link-bandwidth": "8"}))
	c.awaitHops(t, addrs, "n1", "n2")
	for _, r := range c.routers {
		for i, addr := range addrs {
			c.awaitAnswers(t, r, addr, "local-n1", "local-n2")
			a := c.answer(t, r, url(addr))
			if far := []fmt.Stringer{c.Addr4(r.far), c.Addr6(r.far)}[i]; !strings.HasPrefix(strings.Trim(a.Client, "["), far.String()) {
				t.Errorf("the pod saw the client %s, want %s", a.Client, far)
			}
		}
	}
	more, err := c.StartPod(ctx, lab.PodSpec{Name: "local-more", Node: "n2", Labels: app("local")})
	must(t, err)
	pods = append(pods, more)
	for _, addr := range addrs { // in bytes per second
		c.awaitFRR(t, addr, map[string]string{"n1": "LB:64512:1000000", "n2": "LB:64512:2000000"}, frrPath.bandwidth)
	}
	must(t, c.SetPodReady(ctx, pods[0], false))
	c.awaitHops(t, addrs, "n2")
	c.deleteService(t, "local")
	c.awaitHops(t, addrs)
	for _, pod := range pods {
		must(t, c.DeletePod(ctx, pod))
	}
}

func (c *cloud) deleteService(t *testing.T, name string) {
	t.Helper()
	must(t, c.Client().CoreV1().Services("default").Delete(t.Context(), name, metav1.DeleteOptions{}))
}

// shared puts a Service with Local policy and one with Cluster policy on one address.
func shared(t *testing.T, c *cloud, _ addresses) {
	ctx := t.Context()
	pod, err := c.StartPod(ctx, lab.PodSpec{Name: "shared-n1", Node: "n1", Labels: app("shared")})
	must(t, err)
	share := func(port int32) func(*corev1.Service) {
		return func(s *corev1.Service) {
			s.Annotations[settings.SharingKeyKey] = "one"
			s.Spec.Ports[0].Port, s.Spec.Ports[0].TargetPort = port, intstr.FromInt32(8080)
		}
	}
	addrs := c.service(t, "everywhere", app("shared"), share(80))
	c.awaitHops(t, addrs, c.Nodes()...)
	if same := c.service(t, "here", app("shared"), share(81), localPolicy); same != addrs {
		t.Fatalf("the second Service got %v, the first has %v", same, addrs)
	}
	c.awaitHops(t, addrs, "n1")
	c.deleteService(t, "here")
	c.awaitHops(t, addrs, c.Nodes()...)
	c.deleteService(t, "everywhere")
	c.awaitHops(t, addrs)
	must(t, c.DeletePod(ctx, pod))
}

// patchNode merges metadata into a node's.
func (c *cloud) patchNode(t *testing.T, node, metadata string) {
	t.Helper()
	_, err := c.Client().CoreV1().Nodes().Patch(t.Context(), node, types.MergePatchType, []byte(`{"metadata":`+metadata+`}`), metav1.PatchOptions{})
	must(t, err)
}

func excluded(t *testing.T, c *cloud, web addresses) {
	c.patchNode(t, "n1", `{"labels":{"node.kubernetes.io/exclude-from-external-load-balancers":""}}`)
	c.awaitHops(t, web, "n2", "n3")
	c.patchNode(t, "n1", `{"labels":{"node.kubernetes.io/exclude-from-external-load-balancers":null}}`)
	c.awaitHops(t, web, c.Nodes()...)
}
