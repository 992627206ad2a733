// SPDX-License-Identifier: Apache-2.0

package ownership

import (
	"net/netip"
	"slices"
	"time"
)

const (
	// settleBound: after so long without a fault everything has to be in order:
	// detection, a start, waiting for members, the turn of the last candidate of
	// five, the patience of the one that gets it, and repair of lost gossip.
	settleBound = maxDetect + 2*time.Second + time.Second + 4*2*time.Second + simPatience + 4*refresh
	// roundBound: in a network that loses nothing, gossip reaches everyone.
	roundBound = 3 * maxDelay
	// lossyBound: the same where messages are lost.
	lossyBound = 4 * refresh
	slack      = 10 * time.Millisecond
)

// round is how long gossip may take from a to b; ok is false while they have not
// been in undisturbed contact for long enough to say.
func (w *world) round(a, b int) (d time.Duration, ok bool) {
	link := w.links[a][b]
	undisturbed := w.views[a][b].since >= link.since && w.views[b][a].since >= link.since || w.now-link.since > lossyBound
	if w.loss > 0 || !undisturbed {
		return lossyBound, link.up
	}
	return roundBound, link.up
}

// mutual returns since when a and b have seen each other.
func (w *world) mutual(a, b int) (time.Duration, bool) {
	l, x, y := w.links[a][b], w.views[a][b], w.views[b][a]
	return max(l.since, x.since, y.since), l.up && x.up && y.up
}

// check looks at what must hold at every moment, before something else happens.
func (w *world) check() {
	for i := range w.addrs {
		w.checkSingle(i)
	}
	for _, n := range w.nodes {
		w.checkMinority(n)
	}
}

// observe looks at what must hold after something happened.
func (w *world) observe() {
	rest := w.now - w.lastFault
	if rest > settleBound {
		for i := range w.addrs {
			w.checkOwned(i)
			w.checkHandedOver(i)
		}
	} else if w.loss == 0 && w.quietFault && rest > maxDetect+roundBound &&
		slices.Contains([]string{"crash", "pause", "partition"}, w.fault) {
		for i := range w.addrs {
			if w.announced[i] { // or else turns are longer
				w.checkOwned(i)
			}
		}
	}
}

// checkSingle is I1: nodes that see each other do not both announce for longer
// than one gossip round.
func (w *world) checkSingle(i int) {
	for a, na := range w.nodes {
		for b := a + 1; b < len(w.nodes); b++ {
			nb := w.nodes[b]
			since, ok := w.mutual(a, b)
			if !ok || na.announcing[i] < 0 || nb.announcing[i] < 0 {
				continue
			}
			since = max(since, na.announcing[i], nb.announcing[i])
			if round, ok := w.round(a, b); ok && w.now-since > round+slack {
				w.fail("I1: %s and %s both announce %s since %v", na.name, nb.name, w.addrs[i], since)
			}
		}
	}
}

// checkMinority is I2: a node that has been out of contact with half of the
// voters for the detection time announces nothing.
func (w *world) checkMinority(n *simNode) {
	if !n.awake() || w.quorum == QuorumNone || w.now-n.resumedAt <= maxDetect+slack {
		return
	}
	alive := 1
	for b, l := range w.links[n.id] {
		if b != n.id && (l.up || w.now-max(l.since, n.resumedAt) <= maxDetect+slack) {
			alive++
		}
	}
	if 2*alive > len(w.nodes) || len(w.nodes) == 2 && (n.gateway || w.now-n.gatewayAt <= slack) {
		return
	}
	for i, since := range n.announcing {
		if since >= 0 {
			w.fail("I2: %s announces %s in a minority", n.name, w.addrs[i])
		}
	}
}

// sides returns the groups of nodes that may announce and of which everyone is
// in contact with everyone.
func (w *world) sides() [][]*simNode {
	var out [][]*simNode
	for _, n := range w.nodes {
		if !n.awake() {
			continue
		}
		side := []*simNode{n}
		for _, o := range w.nodes {
			if o != n && w.links[n.id][o.id].up {
				side = append(side, o)
			}
		}
		if w.clique(side) && w.entitled(side) {
			out = append(out, side)
		}
	}
	return out
}

func (w *world) clique(side []*simNode) bool {
	for _, a := range side {
		for _, b := range w.nodes {
			if a != b && w.links[a.id][b.id].up != slices.Contains(side, b) {
				return false
			}
		}
	}
	return true
}

func (w *world) entitled(side []*simNode) bool {
	return w.quorum == QuorumNone || 2*len(side) > len(w.nodes) ||
		len(w.nodes) == 2 && side[0].gateway
}

// may reports whether the node takes itself for a possible owner.
func (n *simNode) may(i int) bool {
	return n.awake() && n.known[i].present && n.gateKnown[i] && n.gates[i] != GateClosed &&
		slices.Contains(n.known[i].candidates, n.name)
}

// checkOwned is I3: a majority with a possible owner has an owner.
func (w *world) checkOwned(i int) {
	for _, side := range w.sides() {
		able := slices.IndexFunc(side, func(n *simNode) bool { return n.may(i) })
		owned := slices.ContainsFunc(side, func(n *simNode) bool { return n.announcing[i] >= 0 })
		if able >= 0 && !owned {
			w.fail("I3: nobody announces %s, though %s could (%v after %s)",
				w.addrs[i], side[able].name, w.now-w.lastFault, w.fault)
		}
	}
}

// checkHandedOver: who should give an address away has found somebody who takes
// it, if there is one.
func (w *world) checkHandedOver(i int) {
	for _, side := range w.sides() {
		for _, n := range side {
			candidate := slices.Contains(n.known[i].candidates, n.name)
			if n.announcing[i] < 0 || candidate && !n.draining && n.gates[i] == GateOpen {
				continue
			}
			for _, o := range side {
				if o != n && o.may(i) && !o.draining && o.gates[i] == GateOpen && slices.Contains(n.known[i].candidates, o.name) {
					w.fail("handover: %s still announces %s, though %s could", n.name, w.addrs[i], o.name)
				}
			}
		}
	}
}

// onAnnounce is I4: nobody takes an address from a live owner that it sees,
// unless asked to.
func (w *world) onAnnounce(n *simNode, a Announce) {
	i := slices.Index(w.addrs, a.Address)
	for b, o := range w.nodes {
		if o == n || !o.awake() || o.announcing[i] < 0 || !w.views[n.id][b].up {
			continue
		}
		round, ok := w.round(n.id, b)
		known := w.now-o.announcing[i] > round
		if round == lossyBound { // the claim may not have been heard yet
			known = known && w.now-max(w.views[n.id][b].since, w.links[n.id][b].since) > round
		}
		asked, was := w.asked[a.Address.String()+n.name]
		if ok && known && (a.Cause == CauseTakeover || !was || w.now-asked > 2*time.Second) {
			w.fail("I4: %s takes %s (%s) from %s, which announces it since %v", n.name, a.Address, a.Cause, o.name, o.announcing[i])
		}
	}
	if n.announcing[i] >= 0 {
		w.fail("%s announces %s twice", n.name, a.Address)
	}
	if !n.gateKnown[i] {
		w.fail("gate: %s announces %s, and does not know whether it can", n.name, a.Address)
	}
	if a.Term <= n.known[i].term {
		w.fail("term: %s announces %s with term %d, and knows of %d", n.name, a.Address, a.Term, n.known[i].term)
	}
	w.answer(n, i, a)
	if n.apiUp {
		w.config[i].term = max(w.config[i].term, a.Term)
	}
	n.announcing[i], n.term[i] = w.now, a.Term
	w.claims[simClaim{a.Address, a.Term, n.name}] = true
}

// answer lets the node answer for the address at once, or after it has probed,
// if nobody had it before: or not at all, where it finds another station.
func (w *world) answer(n *simNode, i int, a Announce) {
	if a.Cause != CauseInitial {
		if !w.announced[i] {
			w.fail("probe: %s announces %s (%s), which nobody has announced, unprobed", n.name, a.Address, a.Cause)
		}
		return
	}
	run := n.incarnation
	w.after(w.between(0, time.Second), func() {
		if n.incarnation == run && n.awake() && n.announcing[i] >= 0 && n.term[i] == a.Term && w.rng.IntN(4) > 0 {
			w.announced[i] = true
			n.step(Announced{[]netip.Addr{a.Address}})
		}
	})
}

// onWithdraw checks make before break: an owner that is not forced goes only
// when another one is there.
func (w *world) onWithdraw(n *simNode, a Withdraw) {
	i := slices.Index(w.addrs, a.Address)
	if n.announcing[i] < 0 {
		w.fail("%s withdraws %s, which it does not announce", n.name, a.Address)
	}
	n.announcing[i] = -1
	if a.Cause != CauseHandover && a.Cause != CauseSuperseded {
		return
	}
	if !w.claimedSince(n, a) {
		w.fail("handover: %s gives up %s (%s) before another announced it", n.name, a.Address, a.Cause)
	}
	if w.now-w.upset >= 2*time.Second && w.loss == 0 && !slices.ContainsFunc(w.nodes, func(o *simNode) bool { return o.awake() && o.announcing[i] >= 0 }) {
		w.fail("handover: nobody announces %s after %s gave it up (%s)", a.Address, n.name, a.Cause)
	}
}

// claimedSince reports whether another node has made a claim as high as the one
// that is given up.
func (w *world) claimedSince(n *simNode, a Withdraw) bool {
	for c := range w.claims {
		if c.address == a.Address && c.node != n.name && c.term >= a.Term {
			return true
		}
	}
	return false
}
