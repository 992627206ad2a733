// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-io/fairlead/pkg/membership"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

// TestRemovedMachineIsForgotten: a machine that died and then lost its Announcer is no longer called unreachable.
func TestRemovedMachineIsForgotten(t *testing.T) {
	withLoop(t, vipA(), func(l *loopTest) {
		l.hosts.dial = func(context.Context, netip.AddrPort) error { return context.DeadlineExceeded }
		l.call(func(ctx context.Context) {
			l.hear(ctx, membership.Event{Kind: membership.Failed, Member: membership.Member{Name: "n2"}, At: time.Now()})
		})
		if got := l.hosts.unreachable(); !slices.Equal(got, []string{"n2"}) {
			t.Fatalf("unreachable: %v, want n2", got)
		}
		l.inbox.poke() // as after any change of an Announcer: n1 has the only one
		synctest.Wait()
		if got := l.hosts.unreachable(); len(got) > 0 {
			t.Errorf("unreachable: %v, and n1 has the only Announcer", got)
		}
	})
}

// TestRestartWithAnEarlierClock: an agent that was away for so short a time that it is a member again when the others come
// to hear of it is heard, also where its clock was set back meanwhile.
func TestRestartWithAnEarlierClock(t *testing.T) {
	for _, kind := range []membership.EventKind{membership.Failed, membership.Left} {
		t.Run(kind.String(), func(t *testing.T) {
			l := newLoopTest()
			defer l.status.queue.ShutDown()
			l.hosts.dial = func(context.Context, netip.AddrPort) error { return nil }
			defer l.hosts.wait()
			n2 := membership.Member{Name: "n2", State: membership.StateAlive}
			l.wire.members = []membership.Member{n2}
			say := func(incarnation, term uint64) {
				l.hear(t.Context(), membership.Event{Kind: membership.Message, Member: n2, Payload: encodeMessage(ownership.Message{
					From: "n2", Incarnation: incarnation, Seq: 1,
					Entries: []ownership.Entry{{Address: addrOfA(), Term: term, Phase: ownership.PhaseHolding}},
				})})
			}
			l.hear(t.Context(), membership.Event{Kind: membership.Joined, Member: n2, At: time.Now()})
			say(100, 1)
			l.hear(t.Context(), membership.Event{Kind: kind, Member: n2, At: time.Now()})
			l.hear(t.Context(), membership.Event{Kind: membership.Joined, Member: n2, At: time.Now()})
			say(50, 2)
			if node, term := l.machine.Owner(addrOfA()); node != "n2" || term != 2 {
				t.Errorf("n2 claims the address with term 2, and its owner is %q with term %d", node, term)
			}
		})
	}
}
