// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

const (
	// programmingGrace is how long a new address may be without a verdict: kube-proxy gets to know it after the
	// Service's status, which is written after the VirtualIP.
	programmingGrace = 1500 * time.Millisecond
	// firstRecheck doubles up to the steady pace.
	firstRecheck = 40 * time.Millisecond
	// steadyRecheck of an address, jittered by half of it. It is long before a takeover that the verdict is needed.
	steadyRecheck = 15 * time.Second
	// checksAtOnce bounds the checks under way.
	checksAtOnce = 16
)

// portOf is one port to check an address by.
type portOf struct {
	protocol corev1.Protocol
	port     uint16
}

// programChecker keeps, for each watched address, a recent verdict on whether kube-proxy of this node forwards it, so
// that a takeover needs no check of its own.
type programChecker struct {
	// look tells whether the node forwards the port of the address; an error is no verdict.
	look    func(ctx context.Context, addr netip.Addr, port portOf) (bool, error)
	changed func(addrs []netip.Addr)
	now     func() time.Time

	mu      sync.Mutex
	watched map[netip.Addr]*watched
	wake    chan struct{}
}

type watched struct {
	ports    []portOf
	since    time.Time
	due      time.Time
	pause    time.Duration
	verdict  programming
	checking bool
}

func newProgramChecker(look func(context.Context, netip.Addr, portOf) (bool, error), changed func([]netip.Addr)) *programChecker {
	return &programChecker{
		look: look, changed: changed, now: time.Now,
		watched: map[netip.Addr]*watched{}, wake: make(chan struct{}, 1),
	}
}

func (c *programChecker) state(addr netip.Addr) programming {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.watched[addr]; w != nil {
		return w.verdict
	}
	return programmingUnknown
}

// watch has the address checked at once if it is new or its ports have changed.
func (c *programChecker) watch(addr netip.Addr, services []v1alpha1.ServiceClaim) {
	ports := portsToCheck(services)
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.watched[addr]
	if w != nil && equalPorts(w.ports, ports) {
		return
	}
	if w == nil {
		w = &watched{since: c.now()}
		c.watched[addr] = w
	}
	w.ports, w.due, w.pause = ports, c.now(), firstRecheck
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// portsToCheck takes one port of each Service: kube-proxy programs those of one together. SCTP cannot be checked.
func portsToCheck(services []v1alpha1.ServiceClaim) []portOf {
	var out []portOf
	for _, s := range services {
		for _, p := range s.Ports {
			if p.Protocol == corev1.ProtocolTCP || p.Protocol == corev1.ProtocolUDP {
				out = append(out, portOf{p.Protocol, uint16(p.Port)})
				break
			}
		}
	}
	return out
}

func equalPorts(a, b []portOf) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func (c *programChecker) forget(addr netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watched, addr)
}

// run checks what is due until ctx is done.
func (c *programChecker) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-timer.C:
		}
		c.checkDue(ctx)
		timer.Reset(c.untilDue())
	}
}

func (c *programChecker) untilDue() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, wait := c.now(), steadyRecheck
	for _, w := range c.watched {
		wait = min(wait, w.due.Sub(now))
	}
	return max(wait, time.Millisecond)
}

// checkDue checks the due addresses, some at a time, and reports those whose verdict has changed.
func (c *programChecker) checkDue(ctx context.Context) {
	c.mu.Lock()
	now, due := c.now(), map[netip.Addr][]portOf{}
	for a, w := range c.watched {
		if !w.due.After(now) {
			due[a] = w.ports
		}
	}
	c.mu.Unlock()
	slots := make(chan struct{}, checksAtOnce)
	var wg sync.WaitGroup
	var changed []netip.Addr
	var mu sync.Mutex
	for a, ports := range maps.All(due) {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if c.judge(a, c.check(ctx, a, ports)) {
				mu.Lock()
				changed = append(changed, a)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(changed) > 0 && ctx.Err() == nil {
		c.changed(changed)
	}
}

// check looks at every port. An address that has none to look at, or where looking fails, is taken for programmed:
// a wrong check must not take a Service down.
func (c *programChecker) check(ctx context.Context, addr netip.Addr, ports []portOf) bool {
	for _, p := range ports {
		if ok, err := c.look(ctx, addr, p); err == nil && !ok {
			return false
		}
	}
	return true
}

// judge makes the verdict out of one check, and reports whether it is another than before.
func (c *programChecker) judge(addr netip.Addr, ok bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.watched[addr]
	if w == nil {
		return false
	}
	now, old := c.now(), w.verdict
	switch {
	case ok:
		w.verdict, w.pause = programmed, steadyRecheck
	case now.Sub(w.since) >= programmingGrace:
		w.verdict = notProgrammed
		w.pause = min(2*w.pause, steadyRecheck)
	default:
		w.pause = min(2*w.pause, programmingGrace/4)
	}
	w.due = now.Add(w.pause/2 + rand.N(w.pause))
	return w.verdict != old
}
