// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// passage is what a client behind the router saw while a node left and came back.
type passage struct {
	failed, asked int
	// torn are those of the failed during which the router's route changed: the router hashed the rest of the connection
	// to another node. The product cannot prevent them, and they count all the same.
	torn int
	// changes of the route.
	changes int
}

// drainRouted drains one node after the other, and lets it come back, while a client asks. Routers spread connections by ports.
func drainRouted(ctx context.Context, e *env) (figure, error) {
	return e.passages(ctx, 5, func(ctx context.Context, node string) error {
		const key = "fairlead.dev/drain"
		if err := e.annotateNode(ctx, node, key, `"true"`); err != nil {
			return err
		}
		others := slices.DeleteFunc(e.lab.Nodes(), func(n string) bool { return n == node })
		if err := e.awaitHops(ctx, e.addresses, others...); err != nil {
			return err
		}
		if err := e.awaitForgotten(ctx, node); err != nil {
			return err
		}
		if err := e.annotateNode(ctx, node, key, "null"); err != nil {
			return err
		}
		return e.awaitHops(ctx, e.addresses, e.lab.Nodes()...)
	})
}

// awaitForgotten waits until FRR has no path through a node, also no worse one.
func (e *env) awaitForgotten(ctx context.Context, node string) error {
	return lab.Eventually(ctx, node+" withdrawn", func(ctx context.Context) (bool, string, error) {
		out, err := e.frr.Vtysh(ctx, fmt.Sprintf("show bgp ipv4 unicast neighbors %s routes", e.lab.Addr4(node)))
		return len(out) < 100, out, err // a table has a long head
	})
}

// restartRouted ends one announcer after the other and starts it anew.
func restartRouted(ctx context.Context, e *env) (figure, error) {
	return e.passages(ctx, 10, func(ctx context.Context, node string) error {
		ended := time.Now()
		if err := e.lab.Announcer(node).Terminate(ctx); err != nil {
			return fmt.Errorf("announcer of %s: %w", node, err)
		}
		if _, err := e.lab.StartAnnouncer(ctx, node); err != nil {
			return err
		}
		return lab.Eventually(ctx, "the session of "+node, func(ctx context.Context) (bool, string, error) {
			a, err := e.fairlead.FairleadV1alpha1().Announcers().Get(ctx, node, metav1.GetOptions{})
			if err != nil {
				return false, "", err
			}
			s := a.Status.BGP
			return len(s) == 1 && s[0].State == "Established" && int(s[0].Prefixes) == len(e.addresses) && s[0].Since.After(ended),
				fmt.Sprintf("%+v", s), nil
		})
	})
}

// passages has nodes leave one after the other while a client behind the router asks an address.
func (e *env) passages(ctx context.Context, own int, leave func(ctx context.Context, node string) error) (figure, error) {
	if err := e.openSessions(ctx, ordinary); err != nil {
		return figure{}, err
	}
	var failed []float64
	var all passage
	for i := range e.runsOr(own) {
		one, err := e.pass(ctx, e.lab.Nodes()[i%e.nodes], leave)
		if err != nil {
			return figure{}, fmt.Errorf("run %d: %w", i+1, err)
		}
		e.say("run %d: %d of %d requests failed, the route changed %d times", i+1, one.failed, one.asked, one.changes)
		failed = append(failed, float64(one.failed))
		all = passage{all.failed + one.failed, all.asked + one.asked, all.torn + one.torn, all.changes + one.changes}
	}
	f := summarize("failed requests", failed, true).with("requests", all.asked).with("failed", all.failed)
	return f.with("failed_in_flight_at_route_change", all.torn).with("route_changes", all.changes).with("nodes", e.nodes), nil
}

func (e *env) pass(ctx context.Context, node string, leave func(ctx context.Context, node string) error) (passage, error) {
	if err := e.awaitHops(ctx, e.addresses, e.lab.Nodes()...); err != nil {
		return passage{}, err
	}
	watch, err := e.lab.WatchRoutes(lab.Router)
	if err != nil {
		return passage{}, err
	}
	defer watch.Stop()
	target := e.addresses[0]
	probe, err := e.lab.ProbeHTTP(ctx, lab.Far, "http://"+target.String()+"/", lab.ProbeOptions{Timeout: 2 * time.Second})
	if err != nil {
		return passage{}, err
	}
	defer probe.Stop()
	if err := sleep(ctx, before); err != nil {
		return passage{}, err
	}
	if err := leave(ctx, node); err != nil {
		return passage{}, err
	}
	if err := sleep(ctx, before); err != nil {
		return passage{}, err
	}
	attempts := probe.Stop()
	changes, err := watch.Changes(netip.PrefixFrom(target, target.BitLen()))
	if err != nil {
		return passage{}, err
	}
	seen := passage{failed: attempts.Failures(), asked: len(attempts), changes: len(changes)}
	for _, c := range changes {
		e.say("the route changed %d ms after the first request: %v", c.Time.Sub(attempts[0].Start).Milliseconds(), c.Hops)
	}
	for _, a := range attempts {
		if !a.OK {
			e.say("a request failed that began at %d ms and took %d ms: %s",
				a.Start.Sub(attempts[0].Start).Milliseconds(), a.End.Sub(a.Start).Milliseconds(), a.Err)
		}
		if !a.OK && slices.ContainsFunc(changes, func(c lab.RouteChange) bool {
			return c.Time.After(a.Start) && c.Time.Before(a.End)
		}) {
			seen.torn++
		}
	}
	return seen, nil
}
