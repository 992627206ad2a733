// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/due"
	"github.com/fairlead-io/fairlead/pkg/wake"
)

const (
	// programmingGrace is how long an address may be new or look unprogrammed before that becomes the verdict:
	// kube-proxy gets to know it by the Service's status, which is written after the VirtualIP.
	programmingGrace = 1500 * time.Millisecond
	// quickRecheck is the first pause while kube-proxy is expected to follow; it doubles up to patientRecheck, so that
	// thousands of addresses made at once do not have every node look at each all the time. slowRecheck is the pace once
	// kube-proxy has taken too long.
	quickRecheck   = 50 * time.Millisecond
	patientRecheck = 400 * time.Millisecond
	slowRecheck    = time.Second
	// endpointRecheck is the most that a pause grows to where kube-proxy forwards the address and is expected to get to know an
	// endpoint: there traffic comes from a node whose endpoint is about to end.
	endpointRecheck = 100 * time.Millisecond
	// steadyRecheck of an address, jittered by half of it. It is long before a takeover that the verdict is needed.
	steadyRecheck = 15 * time.Second
	// standbyLook is when an address that another node is to announce is first looked at, jittered by half of it. By then
	// kube-proxy has mostly followed; until then one look at each address by each node would be wasted work, and all of
	// them at the same time.
	standbyLook = 10 * time.Second
	// perLook bounds what looking costs with very many addresses: the pauses grow with their number.
	perLook = 100 * time.Microsecond
	// scouts are the addresses that are looked at while kube-proxy has not followed on any of them: more than one, since
	// it may never follow on a single one, whose Service has no such status.
	scouts = 3
	// checkRound is the least time between two rounds of checks: what is due by then is looked at together, and reported.
	checkRound = 20 * time.Millisecond
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
	look func(ctx context.Context, addr netip.Addr, port portOf) (bool, error)
	// local asks kube-proxy at a healthCheckNodePort whether it has ready endpoints on this node for a Service with
	// externalTrafficPolicy Local: it learns of a new one up to a second after the address may come here, and until then
	// drops what comes in. nil: that is not looked at.
	local   func(ctx context.Context, port int32) (ready, answered bool)
	changed func(addrs []netip.Addr)
	now     func() time.Time

	mu      sync.Mutex
	watched map[netip.Addr]*watched
	queue   due.Queue[netip.Addr] // those watched; but while it is looked at only what is to be looked at again
	wake    wake.Signal
}

type watched struct {
	ports   []portOf
	local   []int32       // healthCheckNodePorts
	soon    bool          // this node is the one to announce it, or may be asked to
	good    time.Time     // since when it may look unprogrammed without being judged so
	pause   time.Duration // before the next look while kube-proxy is expected to follow
	verdict programming
	lapsed  bool // the last look failed
}

func newProgramChecker(look func(context.Context, netip.Addr, portOf) (bool, error), changed func([]netip.Addr)) *programChecker {
	return &programChecker{
		look: look, changed: changed, now: time.Now,
		watched: map[netip.Addr]*watched{}, wake: wake.New(),
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

// watch has the address checked if it is new, if its ports have changed, or if its verdict is needed soon now: at once where it
// is, and else in a while.
func (c *programChecker) watch(addr netip.Addr, services []v1alpha1.ServiceClaim, soon bool) {
	ports, local := portsToCheck(services), localHealthPorts(services)
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.watched[addr]
	if w != nil && slices.Equal(w.ports, ports) && slices.Equal(w.local, local) && (w.soon || !soon) {
		return
	}
	if w == nil {
		w = &watched{}
		c.watched[addr] = w
	}
	at := c.now()
	if !soon {
		at = at.Add(standbyLook/2 + rand.N(standbyLook))
	}
	w.ports, w.local, w.soon, w.good, w.pause = ports, local, soon, at, quickRecheck
	c.queue.Set(addr, at)
	c.wake.Poke()
}

// hurry has the addresses checked at once that have no verdict yet: this node may have to take them over.
func (c *programChecker) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for addr, w := range c.watched {
		if w.verdict == programmingUnknown {
			w.good = now
			c.queue.Set(addr, now)
		}
	}
	c.wake.Poke()
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

func (c *programChecker) forget(addr netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watched, addr)
	c.queue.Remove(addr)
}

// run checks what is due until ctx is done.
func (c *programChecker) run(ctx context.Context) {
	c.wake.Loop(ctx, func(ctx context.Context) time.Duration {
		c.checkDue(ctx)
		return c.untilDue()
	})
}

func (c *programChecker) untilDue() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, at, ok := c.queue.First()
	if !ok {
		return steadyRecheck // what is watched wakes
	}
	return max(at.Sub(c.now()), checkRound)
}

// dueCheck is an address to check now.
type dueCheck struct {
	addr  netip.Addr
	ports []portOf
	local []int32
	since time.Time
	// awaited: kube-proxy has not programmed the address yet and is not late.
	awaited bool
}

// checkDue checks the due addresses and reports those whose verdict has changed. kube-proxy programs all that it knows of
// at once: where it has not followed on those that wait for longest, the younger ones are not looked at.
func (c *programChecker) checkDue(ctx context.Context) {
	var changed []netip.Addr
	missing := 0
	for _, d := range c.takeDue() {
		found := notProgrammed
		if !d.awaited || missing < scouts {
			found = c.find(ctx, d)
		}
		if d.awaited && found == notProgrammed {
			missing++
		}
		if c.judge(d.addr, found) {
			changed = append(changed, d.addr)
		}
	}
	if len(changed) > 0 && ctx.Err() == nil {
		c.changed(changed)
	}
}

// takeDue returns what is due, the oldest first.
func (c *programChecker) takeDue() []dueCheck {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	var checks []dueCheck
	for addr, ok := c.queue.Take(now); ok; addr, ok = c.queue.Take(now) {
		w := c.watched[addr]
		awaited := w.verdict == programmingUnknown && now.Sub(w.good) < programmingGrace
		checks = append(checks, dueCheck{addr: addr, ports: w.ports, local: w.local, since: w.good, awaited: awaited})
	}
	slices.SortFunc(checks, func(x, y dueCheck) int { return x.since.Compare(y.since) })
	return checks
}

// find looks at an address, at its endpoints last.
func (c *programChecker) find(ctx context.Context, d dueCheck) programming {
	switch {
	case !c.translates(ctx, d):
		return notProgrammed
	case !c.hasEndpoints(ctx, d):
		return withoutEndpoint
	}
	return programmed
}

// translates looks at every port. An address that has none to look at, or where looking fails, is taken for programmed:
// a wrong check must not take a Service down.
func (c *programChecker) translates(ctx context.Context, d dueCheck) bool {
	for _, p := range d.ports {
		if ok, err := c.look(ctx, d.addr, p); err == nil && !ok {
			return false
		}
	}
	return true
}

// hasEndpoints asks for endpoints on this node, where only those serve. That there are none says nothing of what kube-proxy has
// yet to program, and no answer is none.
func (c *programChecker) hasEndpoints(ctx context.Context, d dueCheck) bool {
	if c.local == nil {
		return true
	}
	for _, port := range d.local {
		if ready, answered := c.local(ctx, port); answered && !ready {
			return false
		}
	}
	return true
}

// judge makes the verdict out of what one check has found, and reports whether it is another than before.
func (c *programChecker) judge(addr netip.Addr, found programming) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.watched[addr]
	if w == nil {
		return false
	}
	now, old, pause := c.now(), w.verdict, w.pause
	ok := found == programmed
	w.pause = min(2*w.pause, patientRecheck)
	if found == withoutEndpoint {
		pause, w.pause = min(pause, endpointRecheck), min(w.pause, endpointRecheck)
	}
	if !ok && old == programmed && !w.lapsed {
		// The first look that fails since a good one, perhaps long ago: the grace begins here.
		w.good = now
	}
	w.lapsed = !ok
	switch {
	case ok:
		w.verdict, w.good, pause, w.pause = found, now, steadyRecheck, quickRecheck
	case now.Sub(w.good) >= programmingGrace:
		w.verdict, pause = found, slowRecheck
	}
	pause = max(pause, time.Duration(len(c.watched))*perLook)
	if !c.queue.Has(addr) { // or else it is watched otherwise since the look, and looked at again at once
		c.queue.Set(addr, now.Add(pause/2+rand.N(pause)))
	}
	return w.verdict != old
}
