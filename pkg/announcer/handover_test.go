// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

// TestNodeThatHandsOverAnnouncesUnaskedNoMore: what it sent after the announcement of its successor would bring clients back.
func TestNodeThatHandsOverAnnouncesUnaskedNoMore(t *testing.T) {
	for _, c := range []struct {
		name string
		heir bool
		want []netip.Addr
	}{
		{"to nobody", false, nil},
		{"to another node", true, []netip.Addr{addrOfA()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			vip := vipA(func(vip *v1alpha1.VirtualIP) { vip.Spec.Candidates = []string{"n1", "n2"} })
			withLoop(t, vip, func(l *loopTest) {
				l.pass(probeTime + time.Second)
				l.call(func(ctx context.Context) {
					if c.heir {
						l.step(ctx, ownership.MembersChanged{Alive: []string{"n2"}, Voters: []string{"n1", "n2"}})
						l.step(ctx, ownership.Heard{Message: ownership.Message{From: "n2", Incarnation: 1, Seq: 1, Settled: true, Check: true}})
					}
					l.step(ctx, ownership.Drain{Active: true})
				})
				if !l.wire.answers() {
					t.Error("not answered for before another node does")
				}
				if got := l.wire.postponed; !slices.Equal(got, c.want) {
					t.Errorf("announcements put off: %v, want %v", got, c.want)
				}
				if c.heir && l.wire.lastsFor <= time.Second {
					t.Errorf("put off by %v, want more than an heir is waited for", l.wire.lastsFor)
				}
				l.call(func(ctx context.Context) {
					l.step(ctx, ownership.MembersChanged{Voters: []string{"n1", "n2"}})
				})
				if got := l.wire.repeated; !slices.Equal(got, c.want) {
					t.Errorf("announced again when the heir was gone: %v, want %v", got, c.want)
				}
			})
		})
	}
}

// TestLostGatewayIsLostToOthersToo: the node that has the address waits for them to find out.
func TestLostGatewayIsLostToOthersToo(t *testing.T) {
	vip := vipA(func(vip *v1alpha1.VirtualIP) { vip.Spec.Candidates = []string{"n1", "n2"} })
	withLoop(t, vip, func(l *loopTest) {
		l.pass(probeTime + time.Second)
		l.call(func(ctx context.Context) {
			l.step(ctx, ownership.MembersChanged{Alive: []string{"n2"}, Voters: []string{"n1", "n2"}})
			l.step(ctx, ownership.Heard{Message: ownership.Message{From: "n2", Incarnation: 1, Seq: 1, Settled: true, Check: true}})
			l.gatewayAsked(ctx, false, true)
		})
		asked := func() (all []netip.Addr) {
			l.wire.do(func() { all = slices.Clone(l.wire.postponed) })
			return all
		}
		l.pass(2900 * time.Millisecond)
		var gate ownership.Gate
		l.call(func(context.Context) { gate, _ = l.machine.Gate(addrOfA()) })
		if gate != ownership.GateUnhealthy {
			t.Errorf("gate %v, want the others to know at once", gate)
		}
		if got := asked(); len(got) > 0 {
			t.Errorf("another node asked to take over, before it has had the time to find out: %v", got)
		}
		l.pass(200 * time.Millisecond)
		if got := asked(); !slices.Equal(got, []netip.Addr{addrOfA()}) {
			t.Errorf("no other node asked to take over when it still reaches the gateway: %v", got)
		}
	})
}
