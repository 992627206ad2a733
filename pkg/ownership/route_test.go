// SPDX-License-Identifier: Apache-2.0

package ownership

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// routes returns what a node was last told about others that route an address.
func (c *cluster) routes(node string, a netip.Addr) (healthy, failing []string) {
	r := c.machines[node].records[a]
	if r == nil {
		return nil, nil
	}
	return r.routes.Healthy, r.routes.Failing
}

func (c *cluster) wantRoutes(what, node string, a netip.Addr, healthy, failing []string) {
	c.t.Helper()
	h, f := c.routes(node, a)
	if diff := cmp.Diff([][]string{healthy, failing}, [][]string{h, f}, cmpopts.EquateEmpty()); diff != "" {
		c.t.Errorf("%s: what %s knows of routes to %s (-want +got):\n%s", what, node, a, diff)
	}
}

func (c *cluster) routed(route Route, a netip.Addr, nodes ...string) {
	c.t.Helper()
	for _, n := range nodes {
		c.step(n, Routed{[]netip.Addr{a}, route})
	}
}

// TestRoutesAreKnownToThoseThatTakePart: no candidates, no owner, and yet all know.
func TestRoutesAreKnownToThoseThatTakePart(t *testing.T) {
	c := newCluster(t, "n1", "n2", "n3").settled()
	c.routed(RouteHealthy, addrA, "n1", "n2")
	c.wantRoutes("both pass", "n1", addrA, []string{"n2"}, nil)
	c.wantRoutes("takes no part", "n3", addrA, nil, nil)
	c.routed(RouteFailing, addrA, "n2")
	c.wantRoutes("n2 fails", "n1", addrA, nil, []string{"n2"})
	c.wantRoutes("n2 fails", "n2", addrA, []string{"n1"}, nil)
	c.routed(RouteNone, addrA, "n1")
	c.wantRoutes("n1 has no part any more", "n2", addrA, nil, nil)
	c.want("routes make no owner", addrA)
	c.routed(RouteNone, addrA, "n2")
	c.pass(time.Minute)
	for _, n := range c.names {
		if len(c.machines[n].records) != 0 {
			t.Errorf("%s remembers an address that nobody speaks of", n)
		}
	}
}

func TestRoutesOfTheDeadAndOfThoseThatLeaveDoNotCount(t *testing.T) {
	c := newCluster(t, "n1", "n2", "n3").settled()
	c.routed(RouteHealthy, addrA, c.names...)
	c.step("n3", Leave{})
	c.wantRoutes("n3 left", "n1", addrA, []string{"n2"}, nil)
	c.cut["n2"] = true
	c.members()
	c.wantRoutes("n2 died", "n1", addrA, nil, nil)
	c.routed(RouteFailing, addrA, "n2")
	c.cut["n2"] = false
	c.members()
	c.pass(10 * time.Second)
	c.wantRoutes("n2 is back, and has failed meanwhile", "n1", addrA, nil, []string{"n2"})
}

// TestRoutesStayBesideOwnership: claiming and giving up an address leaves what is said of its routes alone.
func TestRoutesStayBesideOwnership(t *testing.T) {
	c := three(t)
	c.routed(RouteHealthy, addrA, c.names...)
	c.step("n1", Drain{true})
	c.pass(5 * time.Second)
	c.want("n1 drains", addrA, "n2")
	c.step("n2", Removed{[]netip.Addr{addrA}})
	c.wantRoutes("n2 knows the address no more on layer 2", "n1", addrA, []string{"n2", "n3"}, nil)
	c.wantRoutes("n2 knows the address no more on layer 2", "n2", addrA, []string{"n1", "n3"}, nil)
}

func TestAllUnhealthy(t *testing.T) {
	c := three(t)
	gate := func(node string, g Gate) { c.step(node, Eligible{Addresses: []netip.Addr{addrA}, Gate: g}) }
	check := func(what string, node string, want bool) {
		t.Helper()
		if got := c.machines[node].AllUnhealthy(addrA); got != want {
			t.Errorf("%s: all unhealthy %v, want %v", what, got, want)
		}
	}
	check("all fit", "n1", false)
	gate("n1", GateUnhealthy)
	check("n1 fails", "n1", false)
	c.want("n1 fails", addrA, "n2")
	gate("n2", GateUnhealthy)
	gate("n3", GateUnhealthy)
	check("all fail", "n3", true)
	c.want("all fail: the address stays", addrA, "n3")
	check("all fail, seen by another", "n1", true)
	gate("n2", GateClosed)
	check("n2 cannot at all", "n3", true)
	gate("n1", GateOpen)
	check("n1 passes", "n3", false)
	check("not failing itself", "n1", false)
	c.want("n1 passes", addrA, "n1")
}
