// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// annotated puts Fairlead's annotations on a Service.
func annotated(annotations map[string]string) func(*corev1.Service) {
	return func(s *corev1.Service) {
		for key, value := range annotations {
			s.Annotations[settings.Prefix+key] = value
		}
	}
}

// attributes has annotations of one Service say what else its pool says, and reads it off the routers.
func attributes(t *testing.T, c *cloud, web addresses) {
	addrs := c.service(t, "special", app("web"), annotated(map[string]string{
		"bgp-communities": "64512:77,64512:9:9,no-export", "bgp-local-preference": "150", "bgp-med": "7", "bgp-as-path-prepend": "2",
	}))
	c.awaitHops(t, addrs, c.Nodes()...)
	all := func(one string) map[string]string { return map[string]string{"n1": one, "n2": one, "n3": one} }
	for _, addr := range addrs {
		c.awaitFRR(t, addr, all("path 64512 64512 64512, med 7, 64512:77 no-export, 64512:9:9"), frrPath.attributes)
		c.awaitBIRD(t, addr, 3, "BGP.as_path: ", "BGP.local_pref: 150", "BGP.med: 7", "BGP.community: (64512,77) (65535,65281)",
			"BGP.large_community: (64512, 9, 9)")
	}
	for _, addr := range web { // which has what the pool says
		c.awaitFRR(t, addr, all("path 64512, med 0, 64512:100, 64512:1:2"), frrPath.attributes)
		c.awaitBIRD(t, addr, 3, "BGP.as_path: ", "BGP.local_pref: 100", "BGP.community: (64512,100)", "BGP.large_community: (64512, 1, 2)")
	}
	c.annotate(t, "special", map[string]any{"bgp-peers": "tor-b", "nodes": "kubernetes.io/hostname in (n1,n3)", "bgp-med": nil})
	c.awaitHopsAt(t, c.routers[:1], addrs)
	c.awaitHopsAt(t, c.routers[1:], addrs, "n1", "n3")
	c.annotate(t, "special", map[string]any{"bgp-peers": nil, "nodes": nil})
	c.awaitHops(t, addrs, c.Nodes()...)
	c.awaitFRR(t, addrs[0], all("path 64512 64512 64512, med 0, 64512:77 no-export, 64512:9:9"), frrPath.attributes)
	c.deleteService(t, "special")
	c.awaitHops(t, addrs)

	must(t, c.Apply(t.Context(), strings.ReplaceAll(c.page.the(t, "What is announced", "yaml"), "app: shop", "app: web")))
	shop := c.assigned(t, "shop", 1)[0]
	c.awaitFRR(t, shop, all("path 64512, med 7, 64512:77 no-export, "), frrPath.attributes)
	c.deleteService(t, "shop")
}

// annotate changes Fairlead's annotations of a Service; nil takes one away.
func (c *cloud) annotate(t *testing.T, service string, annotations map[string]any) {
	t.Helper()
	full := map[string]any{}
	for key, value := range annotations {
		full[settings.Prefix+key] = value
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": full}})
	must(t, err)
	_, err = c.Client().CoreV1().Services("default").Patch(t.Context(), service, types.MergePatchType, patch, metav1.PatchOptions{})
	must(t, err)
}

// frrPath is what FRR knows of one path.
type frrPath struct {
	ASPath            struct{ String string } `json:"aspath"`
	Metric            int64                   `json:"metric"`
	Community         struct{ String string } `json:"community"`
	LargeCommunity    struct{ String string } `json:"largeCommunity"`
	ExtendedCommunity struct{ String string } `json:"extendedCommunity"`
	Nexthops          []struct {
		IP netip.Addr `json:"ip"`
	} `json:"nexthops"`
}

func (p frrPath) attributes() string {
	return fmt.Sprintf("path %s, med %d, %s, %s", p.ASPath.String, p.Metric, p.Community.String, p.LargeCommunity.String)
}

// bandwidth is the link bandwidth without what FRR makes of it for people.
func (p frrPath) bandwidth() string {
	before, _, _ := strings.Cut(p.ExtendedCommunity.String, " ")
	return before
}

// awaitFRR waits until FRR has paths to an address through exactly these nodes, of each of which look says this.
func (c *cloud) awaitFRR(t *testing.T, addr netip.Addr, want map[string]string, look func(frrPath) string) {
	t.Helper()
	family := "ipv4"
	if addr.Is6() {
		family = "ipv6"
	}
	lab.Await(t.Context(), t, fmt.Sprintf("FRR's paths to %s: %v", addr, want), func(ctx context.Context) (bool, string, error) {
		out, err := c.frr.Vtysh(ctx, fmt.Sprintf("show bgp %s unicast %s json", family, netip.PrefixFrom(addr, addr.BitLen())))
		if err != nil {
			return false, "", err
		}
		var answer struct {
			Paths []frrPath `json:"paths"`
		}
		if err := json.Unmarshal([]byte(out), &answer); err != nil {
			return false, "", err
		}
		got := map[string]string{}
		for _, p := range answer.Paths {
			if len(p.Nexthops) > 0 {
				got[c.nodeOf[p.Nexthops[0].IP]] = look(p)
			}
		}
		return maps.Equal(got, want), fmt.Sprint(got), nil
	})
}

// awaitBIRD waits until BIRD has so many paths to an address, and each of these lines for every one.
func (c *cloud) awaitBIRD(t *testing.T, addr netip.Addr, paths int, lines ...string) {
	t.Helper()
	prefix := netip.PrefixFrom(addr, addr.BitLen()).String()
	lab.Await(t.Context(), t, fmt.Sprintf("%d paths of BIRD's to %s with %q", paths, addr, lines), func(ctx context.Context) (bool, string, error) {
		out, err := c.bird.Birdc(ctx, "show", "route", prefix, "all")
		ok := strings.Count(out, "BGP.next_hop: ") == paths
		for _, line := range lines {
			// A line without a value has none, and others end where they do.
			ok = ok && strings.Count(out, "\t"+line+"\n") == paths
		}
		return ok, out, err
	})
}

const (
	aggregatedPool = `apiVersion: fairlead.dev/v1alpha1
kind: AddressPool
metadata: {name: aggregated}
spec:
  addresses: [203.0.113.0/24, "2001:db8:200::/112"]
  autoAssign: false
  announce:
  - bgp: {peers: [tor-a], aggregationLength: {ipv4: 24, ipv6: 112}}
`
	aggregatesToo = `ip prefix-list addresses permit 203.0.113.0/24
ipv6 prefix-list addresses permit 2001:db8:200::/112
`
)

// aggregated has two addresses of one prefix, which is announced as long as there is one of them.
func aggregated(t *testing.T, c *cloud, _ addresses) {
	must(t, c.Apply(t.Context(), aggregatedPool))
	must(t, c.frr.Configure(t.Context(), aggregatesToo))
	router := c.routers[0]
	await := func(want ...string) {
		t.Helper()
		for _, text := range []string{"203.0.113.0/24", "2001:db8:200::/112"} {
			lab.Await(t.Context(), t, fmt.Sprintf("next hops of %s: %v", text, want), func(context.Context) (bool, string, error) {
				got, err := c.hopsOf(router, netip.MustParsePrefix(text))
				return slices.Equal(got, want), fmt.Sprint(got), err
			})
		}
	}
	from := annotated(map[string]string{"address-pool": "aggregated"})
	// Each node announces the prefix for this address alone, so each is ready for it.
	stays := c.service(t, "stays", app("web"), from)
	await(c.Nodes()...)
	goes := c.service(t, "goes", app("web"), from)
	for _, addr := range append(goes[:], stays[:]...) {
		c.awaitAnswers(t, router, addr, "web-n1", "web-n2", "web-n3")
	}
	c.awaitHopsAt(t, c.routers, goes) // no route of its own
	watch, err := c.WatchRoutes(router.host)
	must(t, err)
	t.Cleanup(watch.Stop)
	c.deleteService(t, "goes")
	lab.Await(t.Context(), t, "an address to be without Services", func(ctx context.Context) (bool, string, error) {
		list, err := c.fairlead.FairleadV1alpha1().VirtualIPs().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", err
		}
		return !slices.ContainsFunc(list.Items, func(v v1alpha1.VirtualIP) bool {
			return v.Spec.Address == goes[0].String() && len(v.Spec.Services) > 0
		}), "", nil
	})
	for _, addr := range stays {
		c.awaitAnswers(t, router, addr, "web-n1", "web-n2", "web-n3")
	}
	if changes, err := watch.Changes(netip.MustParsePrefix("203.0.113.0/24")); err != nil || len(changes) > 0 {
		t.Errorf("the aggregate changed with one of its addresses: %+v, %v", changes, err)
	}
	c.deleteService(t, "stays")
	await()
}
