// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/l2"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

const (
	// gatewayInterval between two questions to the gateway where the answer decides who announces.
	gatewayInterval = 500 * time.Millisecond
	// gatewayFailures in a row make it unreachable there. Each is three lost questions.
	gatewayFailures = 2
	// patientInterval between two questions, and patientFailures in a row, where the answer only ranks this node behind others.
	patientInterval = 2 * time.Second
	patientFailures = 3
	// gatewayPatience is how long an owner that has lost its gateway keeps what others could have: a gateway that is gone is
	// gone for all, and they ask at other moments.
	gatewayPatience = patientInterval + time.Second
)

// gatewayWatch finds out whether the node reaches its gateway, by asking for its hardware address as the kernel does. In a
// cluster of two voters that tells a node that was cut off from one whose peer died; elsewhere, a node that has lost its
// gateway stands back behind those that have not.
type gatewayWatch struct {
	links   func() []l2.Link
	resolve func(ctx context.Context, addr netip.Addr, link string) (l2.MAC, error)
	decides func() bool // whether there are two voters
	// tell is called when the judgement has changed: whether the gateway is reachable, and whether it is known that there
	// is one that answers.
	tell func(reachable, answered bool)
}

// run asks until ctx is done.
func (g *gatewayWatch) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var j gatewayJudgement
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		interval, failures := patientInterval, patientFailures
		if g.decides() {
			interval, failures = gatewayInterval, gatewayFailures
		}
		timer.Reset(interval)
		gateways := g.hasGateway()
		ok := gateways && g.ask(ctx)
		if ctx.Err() == nil && j.take(ok, failures) {
			if gateways {
				klog.FromContext(ctx).Info("Gateway asked", "reachable", j.reachable, "answeredBefore", j.answered)
			}
			g.tell(j.reachable, j.answered)
		}
	}
}

// gatewayJudgement is what follows from the answers so far.
type gatewayJudgement struct {
	known, reachable, answered bool
	failures                   int
}

// take takes in one more answer, or none, and reports whether the judgement has changed. The first counts at once, as does
// a good one; a reachable gateway has to fail several times in a row.
func (j *gatewayJudgement) take(ok bool, failures int) (changed bool) {
	before := *j
	if j.failures++; ok {
		j.failures = 0
	}
	j.reachable = ok || j.known && j.reachable && j.failures < failures
	j.known, j.answered = true, j.answered || ok
	return !before.known || before.reachable != j.reachable || before.answered != j.answered
}

func (g *gatewayWatch) hasGateway() bool {
	return slices.ContainsFunc(g.links(), func(l l2.Link) bool { return l.Usable() && len(l.Gateways) > 0 })
}

// ask returns whether one of the gateways answers.
func (g *gatewayWatch) ask(ctx context.Context) bool {
	for _, l := range g.links() {
		if !l.Usable() {
			continue
		}
		for _, gw := range l.Gateways {
			if mac, err := g.resolve(ctx, gw.WithZone(""), l.Name); err == nil && mac != (l2.MAC{}) {
				return true
			}
		}
	}
	return false
}

// watchGateway makes the watch that tells the loop.
func (p *parts) watchGateway(loop context.Context) *gatewayWatch {
	a := p.agent
	return &gatewayWatch{
		links: p.speaker.Links, resolve: p.speaker.Resolve,
		decides: func() bool { return a.read().voters == 2 && p.cfg.Quorum == ownership.QuorumMajority },
		tell: func(reachable, answered bool) {
			a.do(loop, func() { a.gatewayAsked(loop, reachable, answered) })
		},
	}
}

// gatewayAsked takes in what the watch found out. Some gateways never answer such questions, which is not held against the
// node.
func (a *agent) gatewayAsked(ctx context.Context, reachable, answered bool) {
	a.gatewayLost = answered && !reachable
	a.step(ctx, ownership.Gateway{Reachable: reachable})
	a.inbox.poke()
}
