// SPDX-License-Identifier: Apache-2.0

// Package bgp tests announcing by BGP end to end, as docs/bgp.md configures it: FRR and BIRD as routers of the lab, the
// multipath routes in their kernels, and a client behind each. The page's configuration is used word for word, but for one
// number: up to the tests that restart and crash nodes, BFD forgives five times as many lost packets (see patient).
package bgp

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned"
)

// router is one of the two that the nodes speak to, and a client behind it.
type router struct {
	peer string // name of its BGPPeer
	host string
	far  string // host whose way to the addresses is this router
}

// cloud is a lab with the routers of docs/bgp.md in it. Every check of routes is made at all routers.
type cloud struct {
	*lab.Lab
	fairlead versioned.Interface
	page     page
	routers  []router
	frr      *lab.FRR
	bird     *lab.BIRD
	nodeOf   map[netip.Addr]string // by address
}

func TestBGP(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the lab makes network namespaces, which needs root")
	}
	for _, program := range []string{"/usr/lib/frr/bgpd", "vtysh", "/usr/sbin/bird"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is missing: install the packages frr and bird2", program)
		}
	}
	c := newCloud(t)
	for _, node := range c.Nodes() {
		_, err := c.StartPod(t.Context(), lab.PodSpec{Name: "web-" + node, Node: node, Labels: app("web")})
		must(t, err)
	}
	web := c.service(t, "web", app("web"))
	c.awaitHops(t, web, c.Nodes()...)

	for _, test := range []struct {
		name string
		run  func(*testing.T, *cloud, addresses)
	}{
		{"sessions that come up are no cause for warnings", calmStart},
		{"requests from afar are answered", answered},
		{"status and metrics tell of the sessions", told},
		{"annotations say what the routers are told", attributes},
		{"addresses of one prefix are announced as one", aggregated},
		{"a peer is the default gateway, under the node's own ASN", discovered},
		{"events tell of sessions lost, failed and back", warned},
		{"a Service with Local policy is announced where it has endpoints", local},
		{"an address of several Services goes with the last", shared},
		{"a node whose health check fails withdraws, unless all fail", failing},
		{"zones, cordon and labels as a Service asks", preferred},
		{"endpoints weigh where a Service asks", weighted},
		{"an excluded node announces nothing", excluded},
		{"a drained node loses no request", drained},
		{"a Service that leaves a cordoned node loses no request", cordoned},
		{"an announcer that ends for good loses no request", ended},
		{"a restarted announcer loses no request", restarted},
		{"both families over an IPv6 session", overIPv6},
		{"beside another speaker", beside},
		{"a crashed node leaves the routes", crashed},
	} {
		if !t.Run(test.name, func(t *testing.T) { test.run(t, c, web) }) {
			return // the next one would begin with what this one left
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newCloud brings up the lab, the routers and the product, with nothing announced yet.
func newCloud(t *testing.T) *cloud {
	t.Helper()
	ctx := t.Context()
	c := &cloud{
		Lab: lab.ForTest(t, lab.Config{}), page: readPage(t), nodeOf: map[netip.Addr]string{},
		routers: []router{{"tor-a", lab.Router, lab.Far}, {"tor-b", "tor-b", "far-b"}},
	}
	must(t, c.AddRouter("tor-b", "far-b"))
	c.address(t)
	must(t, c.ApplyManifests(ctx))
	var err error
	c.fairlead, err = versioned.NewForConfig(c.RESTConfig())
	must(t, err)
	must(t, c.Apply(ctx, patient(t, c.page.the(t, "Announcing by BGP", "yaml"))))
	must(t, c.Apply(ctx, c.page.the(t, "Passwords", "yaml")))
	c.frr, err = c.StartFRR(ctx, lab.Router, patient(t, c.page.the(t, "FRR", "frr")))
	must(t, err)
	c.bird, err = c.StartBIRD(ctx, "tor-b", patient(t, c.page.the(t, "BIRD 2", "bird")))
	must(t, err)
	_, err = c.StartCCM(ctx, "ccm", lab.CCMOptions{ExtraArgs: []string{"--leader-elect=false"}})
	must(t, err)
	must(t, c.StartAnnouncers(ctx))
	return c
}

// address gives routers and nodes the addresses that the page speaks of.
func (c *cloud) address(t *testing.T) {
	t.Helper()
	number := map[string]int{}
	for i, r := range c.routers {
		number[r.host] = i + 1
	}
	for i, node := range c.Nodes() {
		number[node] = 11 + i
		c.nodeOf[c.Addr4(node)], c.nodeOf[c.Addr6(node)] = node, node
	}
	for host, n := range number {
		for _, text := range []string{fmt.Sprintf("192.0.2.%d/24", n), fmt.Sprintf("2001:db8::%d/64", n)} {
			prefix := netip.MustParsePrefix(text)
			must(t, c.AddAddress(host, prefix))
			if slices.Contains(c.Nodes(), host) {
				c.nodeOf[prefix.Addr()] = host
			}
		}
	}
}

func app(name string) map[string]string { return map[string]string{"app": name} }

// addresses are those of a Service, one of each family.
type addresses [2]netip.Addr

// service makes one of both families for the pods with these labels, and returns its addresses.
func (c *cloud) service(t *testing.T, name string, pods map[string]string, edit ...func(*corev1.Service)) addresses {
	t.Helper()
	both := corev1.IPFamilyPolicyRequireDualStack
	wanted := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Selector: pods, IPFamilyPolicy: &both,
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
	for _, f := range edit {
		f(wanted)
	}
	_, err := c.Client().CoreV1().Services("default").Create(t.Context(), wanted, metav1.CreateOptions{})
	must(t, err)
	return addresses(c.assigned(t, name, 2))
}

// assigned awaits so many addresses of a Service, and returns them, IPv4 first.
func (c *cloud) assigned(t *testing.T, name string, families int) []netip.Addr {
	t.Helper()
	var found []netip.Addr
	lab.Await(t.Context(), t, "addresses of "+name, func(ctx context.Context) (bool, string, error) {
		s, err := c.Client().CoreV1().Services("default").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		found = nil
		for _, in := range s.Status.LoadBalancer.Ingress {
			found = append(found, netip.MustParseAddr(in.IP))
		}
		slices.SortFunc(found, netip.Addr.Compare)
		return len(found) == families, fmt.Sprint(s.Status.LoadBalancer), nil
	})
	return found
}

func localPolicy(s *corev1.Service) {
	s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
}

// hops returns the nodes that a router's kernel sends an address's traffic to, and any hop that is no node.
func (c *cloud) hops(r router, addr netip.Addr) ([]string, error) {
	return c.hopsOf(r, netip.PrefixFrom(addr, addr.BitLen()))
}

// hopsOf is hops for a prefix.
func (c *cloud) hopsOf(r router, prefix netip.Prefix) ([]string, error) {
	found, err := c.NextHops(r.host, prefix)
	var nodes []string
	for _, hop := range found {
		name, ok := c.nodeOf[hop]
		if !ok {
			name = hop.String()
		}
		nodes = append(nodes, name)
	}
	slices.Sort(nodes)
	return nodes, err
}

// awaitHops waits until exactly these nodes are the next hops of both addresses, at all routers.
func (c *cloud) awaitHops(t *testing.T, addrs addresses, nodes ...string) {
	t.Helper()
	c.awaitHopsAt(t, c.routers, addrs, nodes...)
}

func (c *cloud) awaitHopsAt(t *testing.T, routers []router, addrs addresses, nodes ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lab.Await(ctx, t, fmt.Sprintf("next hops of %v: %v", addrs, nodes), func(context.Context) (bool, string, error) {
		var wrong []string
		for _, r := range routers {
			for _, addr := range addrs {
				got, err := c.hops(r, addr)
				if err != nil {
					return false, "", err
				}
				if !slices.Equal(got, nodes) {
					wrong = append(wrong, fmt.Sprintf("%s at %s: %v", addr, r.peer, got))
				}
			}
		}
		return len(wrong) == 0, strings.Join(wrong, ", "), nil
	})
}

// url is that of an address's port 80.
func url(addr netip.Addr) string { return "http://" + netip.AddrPortFrom(addr, 80).String() }
