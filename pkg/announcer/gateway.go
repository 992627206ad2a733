// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"net/netip"
	"time"

	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/l2"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

const (
	// gatewayInterval between two questions to the gateway, asked only where its answer decides.
	gatewayInterval = 500 * time.Millisecond
	// gatewayFailures in a row make it unreachable. Each is three lost questions.
	gatewayFailures = 2
)

// gatewayWatch finds out whether the node reaches its gateway, by asking for its hardware address as one asks for
// another user of an address. In a cluster of two voters that tells a node that was cut off from one whose peer died;
// elsewhere the majority does, and the gateway is left in peace.
type gatewayWatch struct {
	links  func() []l2.Link
	probe  func(ctx context.Context, addr netip.Addr, interfaces []string) (*l2.Conflict, error)
	needed func() bool
	tell   func(reachable bool)
}

// run asks until ctx is done.
func (g *gatewayWatch) run(ctx context.Context) {
	tick := time.NewTicker(gatewayInterval)
	defer tick.Stop()
	known, reachable, failures := false, false, 0
	for {
		if g.needed() {
			ok := g.ask(ctx)
			if failures++; ok {
				failures = 0
			}
			// The first answer counts at once, as does a good one.
			if now := ok || known && reachable && failures < gatewayFailures; ctx.Err() == nil && (!known || now != reachable) {
				known, reachable = true, now
				klog.FromContext(ctx).Info("Gateway asked, as there are two voters", "reachable", now)
				g.tell(now)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ask returns whether one of the gateways answers.
func (g *gatewayWatch) ask(ctx context.Context) bool {
	for _, l := range g.links() {
		if !l.Usable() {
			continue
		}
		for _, gw := range l.Gateways {
			if c, err := g.probe(ctx, gw.WithZone(""), []string{l.Name}); err == nil && c != nil {
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
		links: p.speaker.Links, probe: p.speaker.Probe,
		needed: func() bool { return a.read().voters == 2 && p.cfg.Quorum == ownership.QuorumMajority },
		tell: func(reachable bool) {
			a.do(loop, func() { a.step(loop, ownership.Gateway{Reachable: reachable}) })
		},
	}
}
