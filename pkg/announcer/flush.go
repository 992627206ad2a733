// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ownership"
	"github.com/fairlead-io/fairlead/pkg/wake"
)

const (
	// lateClients is how long after an address has left some neighbours may go on sending here: until they hear the new
	// owner's repeated announcement.
	lateClients = time.Minute
	// flushPatience is how long an address is not announced for the sake of what the kernel is to forget. It is well below
	// the time that the owner waits for its successor.
	flushPatience = 300 * time.Millisecond
)

// flusher has the kernel forget UDP flows to addresses that this node takes over and had before: they may lead to endpoints
// of long ago. Reading the kernel's table is slow, so it is done for all that have gathered, off the loop.
type flusher struct {
	flush func(addrs ...netip.Addr) (int, error)
	// memory is how long the kernel remembers a flow without packets.
	memory func() time.Duration

	mu      sync.Mutex
	due     []netip.Addr
	waiting []chan struct{}
	wake    wake.Signal
}

func newFlusher(flush func(addrs ...netip.Addr) (int, error), memory func() time.Duration) *flusher {
	return &flusher{flush: flush, memory: memory, wake: wake.New()}
}

// begin has the flows to the addresses flushed; the channel is closed when that is done.
func (f *flusher) begin(addrs ...netip.Addr) <-chan struct{} {
	done := make(chan struct{})
	f.mu.Lock()
	f.due, f.waiting = append(f.due, addrs...), append(f.waiting, done)
	f.mu.Unlock()
	f.wake.Poke()
	return done
}

// take returns what has gathered.
func (f *flusher) take() (due []netip.Addr, waiting []chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	due, waiting = f.due, f.waiting
	f.due, f.waiting = nil, nil
	return due, waiting
}

// run flushes until ctx is done.
func (f *flusher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		due, waiting := f.take()
		if flows, err := f.flush(due...); err != nil {
			klog.FromContext(ctx).Error(err, "UDP flows from before a takeover may go on", "addresses", len(due))
		} else {
			klog.FromContext(ctx).V(2).Info("Flushed UDP flows", "addresses", len(due), "flows", flows)
		}
		for _, done := range waiting {
			close(done)
		}
	}
}

// remembers tells whether the kernel may have UDP flows to the address from when this node last had it. What has come by
// then is forgotten by the time that the address was elsewhere for long enough: packets refresh it no more. A flow that an
// endpoint keeps alive leads to one that lives.
func (a *agent) remembers(ad *address) bool {
	return ad != nil && !ad.left.IsZero() && usesUDP(ad.vip.Spec.Services) && a.now().Sub(ad.left) < a.flusher.memory()+lateClients
}

// forgetFlows has UDP flows forgotten before this node takes addresses over from owners that still serve them: nothing is
// lost meanwhile, and a flow that begins here is not taken for an old one. So as not to read the table once for each of
// many messages, it is done for all addresses that may come.
func (a *agent) forgetFlows(actions []ownership.Action) {
	if !slices.ContainsFunc(actions, func(action ownership.Action) bool {
		act, ok := action.(ownership.Announce)
		return ok && act.Cause == ownership.CauseHandover && a.remembers(a.byAddr[act.Address])
	}) {
		return
	}
	var addrs []netip.Addr
	for addr, ad := range a.byAddr {
		if !ad.claim.announcing && a.remembers(ad) {
			addrs = append(addrs, addr)
			ad.left = time.Time{}
		}
	}
	select {
	case <-a.flusher.begin(addrs...):
	case <-time.After(flushPatience):
	}
}

// forgetLate does so for an address that was to be announced at once, since nobody served it.
func (a *agent) forgetLate(ad *address) {
	if a.remembers(ad) {
		a.flusher.begin(ad.addr)
	}
	ad.left = time.Time{}
}

func usesUDP(services []v1alpha1.ServiceClaim) bool {
	for _, s := range services {
		for _, p := range s.Ports {
			if p.Protocol == corev1.ProtocolUDP {
				return true
			}
		}
	}
	return false
}
