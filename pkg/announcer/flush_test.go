// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

// TestTakeoverFlushesUDP: flows from when this node last had the address lead to endpoints of that time. There are none to
// an address that nobody had before, and TCP connections are not to be broken.
func TestTakeoverFlushesUDP(t *testing.T) {
	for _, c := range []struct {
		name     string
		protocol corev1.Protocol
		cause    ownership.Cause
		want     []netip.Addr
	}{
		{"takeover", corev1.ProtocolUDP, ownership.CauseTakeover, []netip.Addr{addrOfA()}},
		{"handover", corev1.ProtocolUDP, ownership.CauseHandover, []netip.Addr{addrOfA()}},
		{"first announcement", corev1.ProtocolUDP, ownership.CauseInitial, nil},
		{"TCP", corev1.ProtocolTCP, ownership.CauseTakeover, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			another := vipA(func(vip *v1alpha1.VirtualIP) {
				vip.Spec.Candidates = []string{"n2"}
				vip.Spec.Services = append(vip.Spec.Services, claims(c.protocol)...)
			})
			withLoop(t, another, func(l *loopTest) {
				l.call(func(ctx context.Context) {
					l.announce(ctx, ownership.Announce{Address: addrOfA(), Term: 2, Cause: c.cause})
				})
				l.pass(time.Second)
				l.wire.mu.Lock()
				defer l.wire.mu.Unlock()
				if diff := cmp.Diff(c.want, l.wire.flushed, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
					t.Errorf("flushed (-want +got):\n%s", diff)
				}
				if !l.wire.answered[addrOfA()] {
					t.Error("not announced")
				}
			})
		})
	}
}
