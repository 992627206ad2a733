// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/wake"
)

// flusher has the kernel forget UDP flows to addresses that this node has just taken over: they may lead to endpoints of
// long ago. Reading the kernel's table is slow, so it is done for all that have gathered, off the loop.
type flusher struct {
	flush func(addrs ...netip.Addr) (int, error)

	mu   sync.Mutex
	due  []netip.Addr
	wake wake.Signal
}

func newFlusher(flush func(addrs ...netip.Addr) (int, error)) *flusher {
	return &flusher{flush: flush, wake: wake.New()}
}

// takenOver notes an address, if any Service uses it for UDP.
func (f *flusher) takenOver(addr netip.Addr, services []v1alpha1.ServiceClaim) {
	if !usesUDP(services) {
		return
	}
	f.mu.Lock()
	f.due = append(f.due, addr)
	f.mu.Unlock()
	f.wake.Poke()
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

// run flushes until ctx is done.
func (f *flusher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		f.mu.Lock()
		due := f.due
		f.due = nil
		f.mu.Unlock()
		flows, err := f.flush(due...)
		if err != nil {
			klog.FromContext(ctx).Error(err, "UDP flows from before a takeover may go on", "addresses", len(due))
			continue
		}
		klog.FromContext(ctx).V(2).Info("Flushed UDP flows", "addresses", len(due), "flows", flows)
	}
}
