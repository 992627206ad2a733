// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

// TestTakeoverFlushesUDP: flows from when this node last had the address lead to endpoints of that time. There are none to
// an address that nobody had before, or this node did not for long, and TCP connections are not to be broken. In a handover
// the flush comes first, so that it takes no flow that has just begun.
func TestTakeoverFlushesUDP(t *testing.T) {
	const long = udpMemory + lateClients
	flushed := []netip.Addr{addrOfA()}
	for _, c := range []struct {
		name     string
		protocol corev1.Protocol
		cause    ownership.Cause
		had      bool          // by this node, until away before the takeover
		away     time.Duration // or since the start
		want     []netip.Addr
		late     bool
	}{
		{"takeover", corev1.ProtocolUDP, ownership.CauseTakeover, true, 0, flushed, true},
		{"handover", corev1.ProtocolUDP, ownership.CauseHandover, true, 0, flushed, false},
		{"handover, had until lately", corev1.ProtocolUDP, ownership.CauseHandover, true, long - time.Second, flushed, false},
		{"handover, had long ago", corev1.ProtocolUDP, ownership.CauseHandover, true, long, nil, false},
		{"takeover, had long ago", corev1.ProtocolUDP, ownership.CauseTakeover, true, long, nil, false},
		{"takeover after the start", corev1.ProtocolUDP, ownership.CauseTakeover, false, 0, flushed, true},
		{"handover after the start", corev1.ProtocolUDP, ownership.CauseHandover, false, 0, flushed, false},
		{"handover long after the start", corev1.ProtocolUDP, ownership.CauseHandover, false, long, nil, false},
		{"first announcement", corev1.ProtocolUDP, ownership.CauseInitial, false, 0, nil, false},
		{"TCP", corev1.ProtocolTCP, ownership.CauseTakeover, true, 0, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			another := vipA(func(vip *v1alpha1.VirtualIP) {
				vip.Spec.Candidates = []string{"n2"}
				vip.Spec.Services = append(vip.Spec.Services, claims(c.protocol)...)
			})
			withLoop(t, another, func(l *loopTest) {
				if c.had {
					l.pass(2 * long)
					l.carryOut(ownership.Announce{Address: addrOfA(), Term: 2, Cause: ownership.CauseTakeover})
					l.pass(2 * long)
					l.carryOut(ownership.Withdraw{Address: addrOfA(), Term: 2, Cause: ownership.CauseHandover})
				}
				l.pass(c.away)
				l.carryOut(ownership.Announce{Address: addrOfA(), Term: 4, Cause: c.cause})
				l.pass(time.Second)
				l.wire.mu.Lock()
				defer l.wire.mu.Unlock()
				if diff := cmp.Diff(c.want, l.wire.flushed, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
					t.Errorf("flushed (-want +got):\n%s", diff)
				}
				if l.wire.late != c.late {
					t.Errorf("flushed after the announcement: %t, want %t", l.wire.late, c.late)
				}
				if !l.wire.answered[addrOfA()] {
					t.Error("not announced")
				}
			})
		})
	}
}

// TestHandoverWaitsNotLongForAFlush: the owner would ask another node.
func TestHandoverWaitsNotLongForAFlush(t *testing.T) {
	another := vipA(func(vip *v1alpha1.VirtualIP) {
		vip.Spec.Candidates = []string{"n2"}
		vip.Spec.Services = append(vip.Spec.Services, claims(corev1.ProtocolUDP)...)
	})
	withLoop(t, another, func(l *loopTest) {
		l.wire.hangs = make(chan struct{})
		defer close(l.wire.hangs)
		before := time.Now()
		l.carryOut(ownership.Announce{Address: addrOfA(), Term: 2, Cause: ownership.CauseHandover})
		if waited := time.Since(before); !l.wire.answers() || waited != flushPatience {
			t.Errorf("announced: %t, after %v; want true after %v", l.wire.answers(), waited, flushPatience)
		}
	})
}

// TestHandoversShareOneFlush: the kernel's table is not read once for each of many addresses.
func TestHandoversShareOneFlush(t *testing.T) {
	a, other := addrOfA(), netip.MustParseAddr("10.0.0.101")
	udp := func(vip *v1alpha1.VirtualIP) {
		vip.Spec.Candidates = []string{"n2"}
		vip.Spec.Services = append(vip.Spec.Services, claims(corev1.ProtocolUDP)...)
	}
	withLoop(t, vipA(udp), func(l *loopTest) {
		l.put(vipA(udp, func(vip *v1alpha1.VirtualIP) { vip.Name, vip.UID, vip.Spec.Address = "b", "2", other.String() }))
		for _, addr := range []netip.Addr{a, other} {
			l.carryOut(ownership.Announce{Address: addr, Term: 2, Cause: ownership.CauseHandover})
			got := slices.SortedFunc(slices.Values(l.wire.flushed), netip.Addr.Compare)
			if want := []netip.Addr{a, other}; !slices.Equal(got, want) {
				t.Errorf("flushed until %v is announced: %v, want %v", addr, got, want)
			}
		}
	})
}

// carryOut has the loop do what the machine wants done.
func (l *loopTest) carryOut(actions ...ownership.Action) {
	l.call(func(ctx context.Context) { l.perform(ctx, actions) })
}
