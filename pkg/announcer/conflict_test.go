// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/l2"
	"github.com/fairlead-io/fairlead/pkg/membership"
)

// TestConflictWhileAnnouncing: it is told once, ends when the station has gone, and a station that comes back is news.
func TestConflictWhileAnnouncing(t *testing.T) {
	const stranger = "the station 02:00:00:00:00:09 on eth0"
	withLoop(t, vipA(), func(l *loopTest) {
		l.pass(time.Second)
		inConflict := func() bool {
			s := l.store.status()
			if s.Node != "n1" || !l.wire.answers() {
				t.Fatalf("the address is not announced any more: %+v", s)
			}
			return meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionConflict)
		}
		for range 2 {
			for range 50 { // each 10 s, while the station is there
				l.call(func(ctx context.Context) { l.contend(ctx, addrOfA(), stranger) })
				l.pass(10 * time.Second)
				if !inConflict() {
					t.Fatal("the station claims the address, and there is no conflict")
				}
			}
			want := []string{"Warning AddressInUse " + conflictText(addrOfA(), stranger, "n1")}
			if diff := cmp.Diff(append(want, want...), l.told()); diff != "" { // VirtualIP and Service
				t.Errorf("events (-want +got):\n%s", diff)
			}
			l.pass(forgetStation)
			if inConflict() {
				t.Error("the station has not been heard for long, and there is a conflict still")
			}
		}
	})
}

// TestConflictEndsWithTheAnnouncement: what is left in the status must neither keep others from announcing the address nor
// take it away from its Service, and the next owner's word of it stands.
func TestConflictEndsWithTheAnnouncement(t *testing.T) {
	withLoop(t, vipA(), func(l *loopTest) {
		l.pass(time.Second)
		l.call(func(ctx context.Context) { l.contend(ctx, addrOfA(), "the station 02:00:00:00:00:09 on eth0") })
		l.edit(overBGP)
		l.pass(time.Minute)
		if got := l.store.status(); got.Node != "" || meta.IsStatusConditionTrue(got.Conditions, v1alpha1.ConditionConflict) {
			t.Errorf("let go: %+v, want neither a node nor a conflict", got)
		}
	})
}

// TestProbeBeforeTheFirstAnnouncement: until the address is answered for, the others hear that it is not, so that the next
// node probes too should this one go.
func TestProbeBeforeTheFirstAnnouncement(t *testing.T) {
	withLoop(t, vipA(), func(l *loopTest) {
		if l.wire.answers() || !l.wire.silent(t) {
			t.Error("answered for before the probe is over, or not said to be silent")
		}
		l.wire.do(func() { l.wire.failure = errors.New("network is down") })
		l.pass(probeTime)
		if l.wire.answers() {
			t.Error("announced though nothing could be probed")
		}
		l.wire.do(func() { l.wire.failure, l.wire.found = nil, &l2.Conflict{Address: addrOfA(), Interface: "eth0"} })
		l.pass(retryFailed + probeTime)
		if l.wire.answers() || !meta.IsStatusConditionTrue(l.store.status().Conditions, v1alpha1.ConditionConflict) {
			t.Error("another station has it, and it is announced, or there is no conflict")
		}
		l.wire.do(func() { l.wire.found = nil })
		l.pass(retryContested + probeTime + time.Second)
		if !l.wire.answers() || l.wire.silent(t) {
			t.Error("the station has gone, and it is not announced, or said to be silent still")
		}
	})
}

func TestOutOfReach(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, tc := range []struct {
		name  string
		state membership.State
		since time.Duration
		want  bool
	}{
		{"alive", membership.StateAlive, time.Hour, false},
		{"suspect", membership.StateSuspect, time.Hour, false},
		{"just taken for dead", membership.StateDead, rivalAfter - time.Millisecond, false},
		{"dead for a while", membership.StateDead, rivalAfter, true},
		{"left", membership.StateLeft, time.Hour, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			members := []membership.Member{
				{Name: "n1", State: membership.StateDead}, {Name: "n2", State: tc.state, Since: now.Add(-tc.since)},
			}
			if got := outOfReach(members, "n2", now); got != tc.want {
				t.Errorf("out of reach: %v, want %v", got, tc.want)
			}
		})
	}
	if !outOfReach(nil, "n2", now) {
		t.Error("a node that was never a member counts as within reach")
	}
}
