// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/l2"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

// nodeAt is an announcer whose node has the address, of the prefix length.
func nodeAt(address string) *v1alpha1.Announcer {
	return &v1alpha1.Announcer{Status: v1alpha1.AnnouncerStatus{Interfaces: []v1alpha1.NodeInterface{
		{Name: "eth0", MAC: l2.MAC{2, 0, 0, 0, 0, 2}.String(), Up: true, Addresses: []string{address}},
	}}}
}

// TestConnectionsGoOnThroughTheFormerOwner: through that of the latest move, if this node reaches it. Those of long ago
// are not handed to whoever had the address then.
func TestConnectionsGoOnThroughTheFormerOwner(t *testing.T) {
	longAgo := netip.MustParseAddr("10.0.0.9")
	changed := func(owner string) ownership.OwnerChanged {
		return ownership.OwnerChanged{Address: addrOfA(), Owner: owner}
	}
	announce := func(cause ownership.Cause, from string) ownership.Announce {
		return ownership.Announce{Address: addrOfA(), Term: 5, Cause: cause, From: from}
	}
	for _, c := range []struct {
		name     string
		before   []ownership.OwnerChanged
		announce ownership.Announce
		want     string // "": nowhere
	}{
		{"taken over", []ownership.OwnerChanged{changed("n2")}, announce(ownership.CauseTakeover, ""), "10.0.0.2"},
		{"let go of first", []ownership.OwnerChanged{changed("n2"), changed("")}, announce(ownership.CauseTakeover, ""), "10.0.0.2"},
		{"handed over", []ownership.OwnerChanged{changed("n2")}, announce(ownership.CauseHandover, "n2"), "10.0.0.2"},
		{"handed over by an owner not heard of", []ownership.OwnerChanged{changed("n2")}, announce(ownership.CauseHandover, "n3"), "10.0.0.3"},
		{"own again", nil, announce(ownership.CauseTakeover, ""), longAgo.String()},
		{"new to the cluster", nil, announce(ownership.CauseInitial, ""), ""},
		{"from a node on another segment", []ownership.OwnerChanged{changed("far")}, announce(ownership.CauseTakeover, ""), ""},
		{"from an unknown node", []ownership.OwnerChanged{changed("n9")}, announce(ownership.CauseTakeover, ""), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			another := vipA(func(vip *v1alpha1.VirtualIP) { vip.Spec.Candidates = []string{"n2"} })
			withLoop(t, another, func(l *loopTest) {
				l.kept.former[addrOfA()] = longAgo
				l.others = map[string]*v1alpha1.Announcer{"n2": nodeAt("10.0.0.2/24"), "n3": nodeAt("10.0.0.3/24"), "far": nodeAt("10.7.0.2/24")}
				keptFirst := true
				l.kept.keeping = func() { keptFirst = keptFirst && !l.wire.answers() }
				l.call(func(ctx context.Context) {
					for _, before := range c.before {
						l.ownerChanged(ctx, before)
					}
					l.perform(ctx, []ownership.Action{c.announce})
				})
				l.pass(probeTime + time.Second)
				want := map[netip.Addr]netip.Addr{}
				if c.want != "" {
					want[addrOfA()] = netip.MustParseAddr(c.want)
				}
				if got := l.kept.Former(); !maps.Equal(got, want) {
					t.Errorf("packets are handed on to %v, want %v", got, want)
				}
				if !keptFirst {
					t.Error("announced before connections are kept")
				}
				if !l.wire.answers() && c.announce.Cause != ownership.CauseInitial {
					t.Error("not announced")
				}
			})
		})
	}
}

// TestTakeoverWaitsNotLongForTheKernel: where nobody serves the address, clients wait. What is to be kept is so later, but
// in its order.
func TestTakeoverWaitsNotLongForTheKernel(t *testing.T) {
	const busy = 5 * time.Second
	takeover := ownership.Announce{Address: addrOfA(), Term: 2, Cause: ownership.CauseTakeover}
	via := map[netip.Addr]netip.Addr{addrOfA(): netip.MustParseAddr("10.0.0.2")}
	for _, c := range []struct {
		name     string
		announce []ownership.Announce
		waited   time.Duration
		want     map[netip.Addr]netip.Addr
	}{
		{"takeover", []ownership.Announce{takeover}, takeoverPatience, via},
		{"handover", []ownership.Announce{{Address: addrOfA(), Term: 2, Cause: ownership.CauseHandover, From: "n2"}}, busy, via},
		{
			"takeover, then new",
			[]ownership.Announce{takeover, {Address: addrOfA(), Term: 3, Cause: ownership.CauseInitial}},
			2 * takeoverPatience, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			another := vipA(func(vip *v1alpha1.VirtualIP) { vip.Spec.Candidates = []string{"n2"} })
			withLoop(t, another, func(l *loopTest) {
				l.others["n2"] = nodeAt("10.0.0.2/24")
				l.kept.keeping = func() { <-time.After(busy) }
				before := time.Now()
				l.call(func(ctx context.Context) {
					l.ownerChanged(ctx, ownership.OwnerChanged{Address: addrOfA(), Owner: "n2"})
				})
				for _, a := range c.announce {
					l.carryOut(a)
				}
				if waited := time.Since(before); waited != c.waited || !l.wire.answers() {
					t.Errorf("announced: %t, after %v; want true after %v", l.wire.answers(), waited, c.waited)
				}
				l.pass(2 * busy)
				if got := l.kept.Former(); !maps.Equal(got, c.want) {
					t.Errorf("packets are handed on to %v, want %v", got, c.want)
				}
			})
		})
	}
}
