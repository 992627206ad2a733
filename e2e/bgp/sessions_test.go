// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// overIPv6 moves all sessions to the routers' IPv6 addresses, where they carry the routes of both families. Without BFD
// BIRD keeps the routes of a restarting neighbour too.
func overIPv6(t *testing.T, c *cloud, web addresses) {
	must(t, c.Apply(t.Context(), c.page.the(t, "Beside another speaker", "yaml")))
	_, err := c.fairlead.FairleadV1alpha1().BGPPeers().Patch(t.Context(), "tor-b", types.MergePatchType,
		[]byte(`{"spec":{"peerAddress":"2001:db8::2","bfd":null}}`), metav1.PatchOptions{})
	must(t, err)
	for i, r := range c.routers {
		want := fmt.Sprintf("2001:db8::%d", i+1)
		lab.Await(t.Context(), t, "n1's only session with "+want, func(ctx context.Context) (bool, string, error) {
			out, err := c.Exec(ctx, r.host, "ss", "-tnH", "state", "established", "( sport = 179 or dport = 179 )")
			return strings.Contains(out, "[2001:db8::11]") && !strings.Contains(out, "192.0.2.11"), out, err
		})
	}
	c.awaitHops(t, web, c.Nodes()...)
	answered(t, c, web)
	c.restart(t, []addresses{web}, "tor-a", "tor-b")
}

// beside runs on n1 what Calico runs there: BIRD with port 179, and a session of its own with the same router. The
// announcers' sessions with that router are those over IPv6 that overIPv6 left.
func beside(t *testing.T, c *cloud, web addresses) {
	ctx := t.Context()
	c.awaitHops(t, web, c.Nodes()...)
	must(t, c.frr.Configure(ctx, c.page.the(t, "Beside another speaker", "frr")))
	calico, err := c.StartBIRD(ctx, "n1", c.page.the(t, "Beside another speaker", "bird"))
	must(t, err)
	router, pods := c.routers[0], netip.MustParsePrefix("10.244.1.0/24")
	awaitPods := func(want ...netip.Addr) {
		lab.Await(ctx, t, fmt.Sprintf("the other speaker's route through %v", want), func(context.Context) (bool, string, error) {
			hops, err := c.NextHops(router.host, pods)
			return slices.Equal(hops, want), fmt.Sprint(hops), err
		})
	}
	awaitPods(netip.MustParseAddr("192.0.2.11"))
	c.awaitHops(t, web, c.Nodes()...)
	c.awaitAnswers(t, router, web[0], "web-n1", "web-n2", "web-n3")
	pod, err := c.Client().CoreV1().Pods("default").Get(ctx, "web-n1", metav1.GetOptions{})
	must(t, err)
	if a := c.answer(t, router, "http://"+pod.Status.PodIP+":8080"); a.Pod != "web-n1" {
		t.Errorf("%s answered at the address of web-n1", a.Pod)
	}
	// Each goes without the other.
	watch, err := c.WatchRoutes(router.host)
	must(t, err)
	t.Cleanup(watch.Stop)
	_, err = calico.Birdc(ctx, "down")
	must(t, err)
	awaitPods()
	for _, addr := range web {
		changes, err := watch.Changes(netip.PrefixFrom(addr, addr.BitLen()))
		must(t, err)
		if len(changes) > 0 {
			t.Errorf("the end of the other speaker changed the routes to %s: %+v", addr, changes)
		}
	}
}
