// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

const (
	// late is how long after the change of a route the watch may have seen it.
	late = 300 * time.Millisecond
	// inFlight bounds how long a request is taken for one that a change of the route tore apart: it ends at once.
	inFlight = time.Second
)

// client asks an address from behind a router, whose routes are watched.
type client struct {
	router
	addr  netip.Addr
	probe *lab.Probe
	watch *lab.RouteWatch
}

// clients ask both addresses from behind all routers.
func (c *cloud) clients(t *testing.T, web addresses) []client {
	t.Helper()
	var all []client
	for _, r := range c.routers {
		watch, err := c.WatchRoutes(r.host)
		must(t, err)
		t.Cleanup(watch.Stop)
		for _, addr := range web {
			p, err := c.ProbeHTTP(t.Context(), r.far, url(addr), lab.ProbeOptions{Interval: 40 * time.Millisecond, Timeout: 5 * time.Second})
			must(t, err)
			all = append(all, client{r, addr, p, watch})
		}
	}
	return all
}

// end stops the requests, and returns how the router's route to the address changed meanwhile. A request that failed fails
// the test, unless the route changed during it: then the router sent half of the connection to another node, which no
// announcement can prevent.
func (x client) end(t *testing.T) []lab.RouteChange {
	t.Helper()
	attempts := x.probe.Stop()
	changes, err := x.watch.Changes(netip.PrefixFrom(x.addr, x.addr.BitLen()))
	must(t, err)
	torn := 0
	for _, a := range attempts {
		if a.OK {
			continue
		}
		if slices.ContainsFunc(changes, func(change lab.RouteChange) bool {
			return change.Time.After(a.Start) && change.Time.Before(a.End.Add(late)) && a.End.Sub(a.Start) < inFlight
		}) {
			torn++
			continue
		}
		t.Errorf("a request to %s through %s failed after %v: %s", x.addr, x.peer, a.End.Sub(a.Start), a.Err)
	}
	t.Logf("%s through %s: %d requests, %d in flight when the route changed were lost", x.addr, x.peer, len(attempts), torn)
	return changes
}

// drained looks for the announcement as the last resort, and for the withdrawal, which waits as long as a Service asks, or
// until endpoints are elsewhere where only those of the node serve.
func drained(t *testing.T, c *cloud, web addresses) {
	pod := func(node string) *lab.Pod {
		p, err := c.StartPod(t.Context(), lab.PodSpec{Name: "last-" + node, Node: node, Labels: app("last")})
		must(t, err)
		return p
	}
	pods := []*lab.Pod{pod("n2")}
	last := c.service(t, "last", app("last"), localPolicy)
	c.awaitHops(t, last, "n2")
	patient := c.service(t, "patient", app("web"), annotate("connection-drain=on", "connection-drain-timeout=20"))
	c.awaitHops(t, patient, c.Nodes()...)
	clients := c.clients(t, web)
	c.patchNode(t, "n2", `{"annotations":{"fairlead.dev/drain":"true"}}`)
	c.awaitLastResort(t, web, addresses{})
	c.awaitHops(t, web, "n1", "n3")
	c.awaitOutlasted(t, web[0], patient[0])
	c.awaitHops(t, patient, "n1", "n3")
	c.awaitWithdrawn(t, web)
	c.awaitWithdrawn(t, patient)
	c.deleteService(t, "patient")
	c.awaitHops(t, last, "n2")
	pods = append(pods, pod("n3"))
	c.awaitHops(t, last, "n3")
	c.awaitWithdrawn(t, last)
	c.deleteService(t, "last")
	for _, p := range pods {
		must(t, c.DeletePod(t.Context(), p))
	}
	c.patchNode(t, "n2", `{"annotations":{"fairlead.dev/drain":null}}`)
	c.awaitHops(t, web, c.Nodes()...)
	for _, x := range clients {
		x.end(t)
	}
}

// awaitLastResort waits until both routers have the addresses that leave a node with GRACEFUL_SHUTDOWN, and local
// preference 0; those that stay must not have it.
func (c *cloud) awaitLastResort(t *testing.T, leaving, staying addresses) {
	t.Helper()
	for _, look := range []struct {
		router string
		at     func(ctx context.Context) (string, error)
	}{
		{"FRR", func(ctx context.Context) (string, error) {
			four, err := c.frr.Vtysh(ctx, "show bgp ipv4 unicast community graceful-shutdown")
			if err != nil {
				return "", err
			}
			six, err := c.frr.Vtysh(ctx, "show bgp ipv6 unicast community graceful-shutdown")
			return four + six, err
		}},
		{"BIRD", func(ctx context.Context) (string, error) {
			return c.bird.Birdc(ctx, "show", "route", "where", "(65535,0)", "~", "bgp_community", "&&", "bgp_local_pref", "=", "0")
		}},
	} {
		lab.Await(t.Context(), t, "GRACEFUL_SHUTDOWN at "+look.router, func(ctx context.Context) (bool, string, error) {
			out, err := look.at(ctx)
			for i := range staying {
				if staying[i].IsValid() && strings.Contains(out, staying[i].String()+"/") {
					t.Errorf("%s stays, and is announced as the last resort: %s", staying[i], out)
				}
			}
			return strings.Contains(out, leaving[0].String()+"/") && strings.Contains(out, leaving[1].String()+"/"), out, err
		})
	}
}

// awaitWithdrawn waits until no router has a path through n2 that it could fall back to.
func (c *cloud) awaitWithdrawn(t *testing.T, web addresses) {
	t.Helper()
	lab.Await(t.Context(), t, "n2 gone from the tables", func(ctx context.Context) (bool, string, error) {
		frr, err := c.frr.Vtysh(ctx, fmt.Sprintf("show bgp ipv4 unicast %s/32", web[0]))
		if err != nil {
			return false, "", err
		}
		bird, err := c.bird.Birdc(ctx, "show", "route", "for", web[0].String(), "all")
		return !strings.Contains(frr+bird, "192.0.2.12"), frr + bird, err
	})
}

// ended stops an announcer whose peers would not keep its routes: it leaves as the last resort, and a second later for good.
func ended(t *testing.T, c *cloud, web addresses) {
	ctx := t.Context()
	for _, r := range c.routers {
		_, err := c.fairlead.FairleadV1alpha1().BGPPeers().Patch(ctx, r.peer, types.MergePatchType,
			[]byte(`{"spec":{"gracefulRestart":null}}`), metav1.PatchOptions{})
		must(t, err)
	}
	began := time.Now()
	for _, node := range c.Nodes() {
		c.awaitSessions(t, node, began, web)
	}
	c.awaitHops(t, web, c.Nodes()...)
	clients := c.clients(t, web)
	must(t, c.Announcer("n2").Terminate(ctx))
	c.awaitHops(t, web, "n1", "n3")
	c.awaitWithdrawn(t, web)
	for _, x := range clients {
		x.end(t)
	}
	began = time.Now()
	_, err := c.StartAnnouncer(ctx, "n2")
	must(t, err)
	must(t, c.Apply(ctx, c.page.the(t, "Announcing by BGP", "yaml")))
	for _, node := range c.Nodes() {
		c.awaitSessions(t, node, began, web)
	}
	c.awaitHops(t, web, c.Nodes()...)
}

// restarted is [cloud.restart] with BFD, which BIRD does not let a neighbour lose that is restarting.
// What the new announcer has to ask about the endpoints of a Service with Local policy may not come too late either.
func restarted(t *testing.T, c *cloud, web addresses) {
	local := c.service(t, "restarting", app("web"), localPolicy)
	c.awaitHops(t, local, c.Nodes()...)
	c.restart(t, []addresses{web, local}, "tor-a")
	c.deleteService(t, "restarting")
	c.awaitHops(t, local)
}

// restart ends an announcer and starts another. The routers that keep routes meanwhile are to touch none.
func (c *cloud) restart(t *testing.T, services []addresses, keeping ...string) {
	t.Helper()
	ctx := t.Context()
	var clients []client
	for _, addrs := range services {
		clients = append(clients, c.clients(t, addrs)...)
	}
	must(t, c.Announcer("n1").Terminate(ctx))
	ended := time.Now()
	lab.Await(ctx, t, "FRR to have noticed", func(ctx context.Context) (bool, string, error) {
		out, err := c.frr.Vtysh(ctx, fmt.Sprintf("show bgp ipv4 unicast %s/32", services[0][0]))
		return strings.Contains(out, "stale"), out, err
	})
	_, err := c.StartAnnouncer(ctx, "n1")
	must(t, err)
	c.awaitSessions(t, "n1", ended, services...)
	for _, addrs := range services {
		c.awaitHops(t, addrs, c.Nodes()...)
	}
	for _, x := range clients {
		changes := x.end(t)
		if slices.Contains(keeping, x.peer) && len(changes) > 0 {
			t.Errorf("%s changed its routes to %s: %+v", x.peer, x.addr, changes)
		}
	}
}

// awaitSessions waits until a node's Announcer tells of sessions with all routers, made after the given moment, and that
// as many addresses are announced there as these Services have.
func (c *cloud) awaitSessions(t *testing.T, node string, after time.Time, services ...addresses) {
	t.Helper()
	c.awaitSessionsOf(t, node, func(s v1alpha1.BGPSession) bool {
		return s.State == "Established" && int(s.Prefixes) == 2*len(services) && s.Since != nil && s.LastError == "" &&
			!s.Since.Time.Before(after.Truncate(time.Second))
	})
}

// awaitSessionsOf waits until a node's Announcer tells of sessions with all routers at least, all of which are such.
func (c *cloud) awaitSessionsOf(t *testing.T, node string, such func(v1alpha1.BGPSession) bool) {
	t.Helper()
	lab.Await(t.Context(), t, "sessions of "+node, func(ctx context.Context) (bool, string, error) {
		a, err := c.fairlead.FairleadV1alpha1().Announcers().Get(ctx, node, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		ok := len(a.Status.BGP) >= len(c.routers)
		for _, s := range a.Status.BGP {
			ok = ok && such(s)
		}
		return ok, fmt.Sprintf("%+v", a.Status.BGP), nil
	})
}

// session is what a node's Announcer tells of one session.
func (c *cloud) session(t *testing.T, node, peer string) v1alpha1.BGPSession {
	t.Helper()
	a, err := c.fairlead.FairleadV1alpha1().Announcers().Get(t.Context(), node, metav1.GetOptions{})
	must(t, err)
	for _, s := range a.Status.BGP {
		if s.Peer == peer {
			return s
		}
	}
	t.Fatalf("%s tells of no session with %s: %+v", node, peer, a.Status.BGP)
	return v1alpha1.BGPSession{}
}

// crashed is the last of the tests. Without BFD the routers would wait for the hold time of 90 s, or for the restart.
func crashed(t *testing.T, c *cloud, web addresses) {
	must(t, c.Apply(t.Context(), c.page.the(t, "Announcing by BGP", "yaml")))
	up := regexp.MustCompile(`(?im)^192\.0\.2\.13\s.*\sup\s|\s192\.0\.2\.13\s.*\sup\s*$`)
	lab.Await(t.Context(), t, "BFD up at both routers", func(ctx context.Context) (bool, string, error) {
		frr, err := c.frr.Vtysh(ctx, "show bfd peers brief")
		if err != nil {
			return false, "", err
		}
		bird, err := c.bird.Birdc(ctx, "show", "bfd", "sessions")
		return up.MatchString(frr) && up.MatchString(bird), frr + bird, err
	})
	c.awaitHops(t, web, c.Nodes()...)
	began := time.Now()
	must(t, c.CrashNode("n3"))
	c.awaitHops(t, web, "n1", "n2")
	t.Logf("next hop gone after %v", time.Since(began))
}
