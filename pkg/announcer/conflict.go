// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/membership"
)

// retryContested is how long an address in use elsewhere is left alone before this node looks again.
const retryContested = time.Minute

// retryFailed is the pause after a search that could not be made.
const retryFailed = time.Second

// forgetStation is for how long a station must not have claimed an address that is announced here for the conflict to be
// over. A station that is there all the time is heard when it looks for a neighbour.
const forgetStation = 5 * time.Minute

// probe looks for another user of the address (RFC 5227 section 2.1.1; DAD, RFC 4862 section 5.4) and announces it when
// there is none. It takes a second or so, during which the loop goes on.
func (a *agent) probe(parent context.Context, ad *address) {
	ctx, cancel := context.WithCancel(parent)
	ad.claim.stopProbe = cancel
	term, globs := ad.claim.term, ad.decision.interfaces
	a.tasks.Go(func() {
		defer cancel()
		found, err := a.speaker.Probe(ctx, ad.addr, globs)
		if ctx.Err() != nil {
			return
		}
		by := ""
		if found != nil && found.Peer == "" {
			by = station(found)
		}
		a.do(ctx, func() { a.probed(parent, ad, term, by, err) })
	})
}

// probed goes on where the probe of that term left off.
func (a *agent) probed(ctx context.Context, ad *address, term uint64, by string, err error) {
	if !ad.claim.held || ad.claim.term != term || ad.claim.announcing {
		return
	}
	ad.claim.stopProbe = nil
	if err != nil {
		// The link went away, and the gate will close by what netlink says, or it cannot send, and then not announce either.
		klog.FromContext(ctx).Error(err, "Search for another user of the address failed", "address", ad.addr)
		a.later(ctx, retryFailed, func() { a.probeAgain(ctx, ad, term) })
		return
	}
	if by == "" {
		ad.claim.clear = true
		a.speakIfReady(ctx, ad)
		return
	}
	a.metrics.conflicts.WithLabelValues("probing").Inc()
	klog.FromContext(ctx).Info("Address is used by another station", "address", ad.addr, "virtualIP", ad.name, "station", by)
	if ad.claim.station != by {
		ad.claim.station = by
		a.events.conflict(ad.vip, conflictText(ad.addr, by, a.self))
	}
	a.status.say(ad.name, a.facts(ad), 0)
	a.later(ctx, retryContested, func() { a.probeAgain(ctx, ad, term) })
}

// probeAgain finds out whether the other station has gone.
func (a *agent) probeAgain(ctx context.Context, ad *address, term uint64) {
	if ad.claim.held && ad.claim.term == term && !ad.claim.announcing {
		a.probe(ctx, ad)
	}
}

// later has the loop run f after a while, unless ctx ends before.
func (a *agent) later(ctx context.Context, wait time.Duration, f func()) {
	a.tasks.Go(func() {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
			a.do(ctx, f)
		case <-ctx.Done():
		}
	})
}

// rivalAfter is for how long gossip must not have reached a node whose claim to an address is taken for more than the late
// word of one that has just been taken for dead.
const rivalAfter = 3 * time.Second

// meetRival takes in that a node of the cluster claims an address while this node announces it. In a takeover, gossip is
// about to end it; but where gossip does not get through, two voters that both reach the gateway both announce, and only a
// person can end that.
func (a *agent) meetRival(addr netip.Addr, node, by string) {
	ad := a.byAddr[addr]
	if ad == nil || !ad.claim.announcing || ad.rival == node || !outOfReach(a.group.Members(), node, a.now()) {
		return
	}
	ad.rival = node
	a.metrics.conflicts.WithLabelValues("rival").Inc()
	a.events.rival(ad.vip, fmt.Sprintf("%s is announced by node %s and by %s: gossip between the two does not get through, see the "+
		"ports it needs", addr, a.self, by))
}

// outOfReach tells whether gossip has not reached the node for a while.
func outOfReach(members []membership.Member, node string, now time.Time) bool {
	for _, m := range members {
		if m.Name == node {
			return m.State == membership.StateDead && now.Sub(m.Since) >= rivalAfter
		}
	}
	return true
}

// contend takes in that another station claims an address while this node announces it. Nodes of the cluster do so in
// a takeover, which is no conflict.
func (a *agent) contend(ctx context.Context, addr netip.Addr, by string) {
	ad := a.byAddr[addr]
	if ad == nil || !ad.claim.announcing {
		return
	}
	before := ad.claim.station
	ad.claim.station, ad.claim.seen = by, a.now()
	if before == by {
		return
	}
	if before == "" {
		a.later(ctx, forgetStation, func() { a.forgive(ctx, ad, ad.claim.term) })
	}
	a.metrics.conflicts.WithLabelValues("announcing").Inc()
	a.events.conflict(ad.vip, conflictText(addr, by, a.self))
	a.status.say(ad.name, a.facts(ad), 0)
}

// forgive takes the conflict back once the other station has not claimed the address for long enough.
func (a *agent) forgive(ctx context.Context, ad *address, term uint64) {
	if !ad.claim.announcing || ad.claim.term != term {
		return
	}
	if left := forgetStation - a.now().Sub(ad.claim.seen); left > 0 {
		a.later(ctx, left, func() { a.forgive(ctx, ad, term) })
		return
	}
	ad.claim.station = ""
	a.status.say(ad.name, a.facts(ad), 0)
}
