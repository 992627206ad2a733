// SPDX-License-Identifier: Apache-2.0

package ownership

import (
	"math"
	"slices"
	"time"
)

// rank orders the nodes that may hold an address; lower is better. Health ranks
// and never excludes, so that with all unhealthy the order of candidates counts
// as if all were healthy.
type rank uint8

const (
	rankFit rank = iota
	rankUnhealthy
	rankDraining
	rankOutsider // no candidate; may only go on holding
	rankUnable   // must not hold
)

// decideOne brings one address into line with all that is known.
func (m *Machine) decideOne(r *record) {
	if r.own.holds() {
		m.keep(r)
	}
	if !r.own.holds() {
		m.contend(r)
	}
	if r.own.holds() {
		m.offer(r)
	}
	m.stateGate(r)
}

// keep withdraws an address that this node holds and may not go on holding.
func (m *Machine) keep(r *record) {
	best, p := m.liveClaim(r)
	switch {
	case m.left:
		m.withdraw(r, CauseLeave)
	case !r.configured:
		m.withdraw(r, CauseRemoved)
	case !m.quorate:
		m.withdraw(r, CauseMinority)
	case r.gate == GateClosed:
		m.withdraw(r, CauseGate)
	case p != nil && best.beats(p.name, r.own, m.opt.Self):
		if r.own.Phase == PhaseYielding {
			m.withdraw(r, CauseHandover)
		} else {
			m.withdraw(r, CauseSuperseded)
		}
	}
}

// contend claims an address that this node does not hold, if its turn has come.
func (m *Machine) contend(r *record) {
	m.timers.stop(r)
	turn, able := m.turn(r)
	if claim, p := m.liveClaim(r); p != nil {
		if able && claim.Phase == PhaseYielding && claim.Successor == m.opt.Self && m.accepts(r, p.name) {
			m.announce(r, CauseHandover, p.name)
		}
		m.rest(r)
		return
	}
	if !able {
		m.rest(r)
		return
	}
	if r.ownerless.IsZero() {
		r.ownerless = m.now
		m.waiting[r.address] = r
	}
	if m.now.Before(m.syncUntil) {
		m.timers.set(r, m.syncUntil)
		return
	}
	stagger := m.opt.Stagger
	if !r.announced {
		stagger = m.opt.InitialStagger
	}
	if due := r.ownerless.Add(time.Duration(turn) * stagger); m.now.Before(due) {
		m.timers.set(r, due)
		return
	}
	m.announce(r, CauseTakeover, "")
}

// accepts reports whether this node takes over from the owner that asked it. The
// owner may not have heard that this node is no better: then the address would
// only go to and fro. A candidate that drains is one because no other node serves,
// so it takes over from a node that is none.
func (m *Machine) accepts(r *record, owner string) bool {
	self := m.rankOf(r, m.opt.Self)
	return self == rankFit ||
		self < rankOutsider && (m.rankOf(r, owner) > self || !slices.Contains(r.candidates, owner))
}

// rest ends the wait for an address to be claimed.
func (m *Machine) rest(r *record) {
	r.ownerless = time.Time{}
	delete(m.waiting, r.address)
}

// announce claims the address, in a handover from the node that asked. A claim
// that its holder has not announced it under makes the next no less the first.
func (m *Machine) announce(r *record, cause Cause, from string) {
	m.rest(r)
	if !r.announced {
		cause, from = CauseInitial, ""
	}
	r.maxTerm = max(r.maxTerm, r.recorded) + 1
	order := min(slices.Index(r.candidates, m.opt.Self), math.MaxUint8)
	m.state(r, Entry{Address: r.address, Term: r.maxTerm, Phase: PhaseHolding, Gate: r.own.Gate, Silent: !r.announced, Order: uint8(order)})
	m.held++
	if cause != CauseHandover {
		r.spoken = m.now
	}
	m.actions = append(m.actions, Announce{Address: r.address, Term: r.maxTerm, Cause: cause, From: from})
}

func (m *Machine) withdraw(r *record, cause Cause) {
	m.held--
	m.timers.stop(r)
	r.attempt, r.askUntil, r.bettered = 0, time.Time{}, time.Time{}
	m.actions = append(m.actions, Withdraw{Address: r.address, Term: r.own.Term, Cause: cause})
	m.state(r, Entry{Address: r.address, Term: r.own.Term, Gate: r.own.Gate, Silent: r.own.Silent})
}

// stateGate tells the others about the local gate and what this node does by way
// of routers; an address that is gone is not spoken of at all.
func (m *Machine) stateGate(r *record) {
	e := r.own
	e.Gate = r.gate
	if !r.configured {
		e = Entry{Address: r.address}
	}
	if e.Route = r.route; m.left {
		e.Route = RouteNone
	}
	m.state(r, e)
}

// report tells the caller when the owner is another one, or has a new term.
func (m *Machine) report(r *record) {
	claim, p := m.liveClaim(r)
	owner, term := "", uint64(0)
	if p != nil {
		owner, term = p.name, claim.Term
	}
	if r.own.holds() && (p == nil || r.own.beats(m.opt.Self, claim, owner)) {
		owner, term = m.opt.Self, r.own.Term
	}
	if owner != r.owner || term != r.ownerTerm {
		r.owner, r.ownerTerm = owner, term
		m.actions = append(m.actions, OwnerChanged{Address: r.address, Owner: owner, Term: term})
	}
}

// liveClaim returns the best claim of another live node, or nil.
func (m *Machine) liveClaim(r *record) (Entry, *peer) {
	var best Entry
	var by *peer
	for _, p := range r.claimants {
		if !p.alive {
			continue
		}
		if e := p.entries[r.address].Entry; by == nil || e.beats(p.name, best, by.name) {
			best, by = e, p
		}
	}
	return best, by
}

// turn returns how many live candidates are to be preferred to this node for the
// address, and whether this node may claim it at all.
func (m *Machine) turn(r *record) (turn int, able bool) {
	if !r.configured {
		return 0, false
	}
	self := m.rankOf(r, m.opt.Self)
	if self >= rankOutsider || !slices.Contains(r.candidates, m.opt.Self) {
		return 0, false
	}
	before := true
	for _, c := range r.candidates {
		if c == m.opt.Self {
			before = false
			continue
		}
		if other := m.rankOf(r, c); other < self || other == self && before || before && m.starting(r, c) {
			turn++
		}
	}
	return turn, true
}

// starting reports whether the node has come up and not settled, and the address
// was never announced: then its turn is respected, lest the first node of a
// cluster to settle gets every address.
func (m *Machine) starting(r *record, node string) bool {
	p := m.peers[node]
	return !r.announced && p != nil && p.alive && !p.settled
}

// rankOf returns the rank that a candidate has for the address.
func (m *Machine) rankOf(r *record, node string) rank {
	if node == m.opt.Self {
		if !m.quorate || !m.settled || m.left || !r.gateKnown {
			return rankUnable
		}
		return rankFor(r.gate, m.draining)
	}
	p := m.peers[node]
	if p == nil || !p.alive || !p.settled {
		return rankUnable
	}
	return rankFor(p.entries[r.address].Gate, p.draining)
}

func rankFor(gate Gate, draining bool) rank {
	switch {
	case gate == GateClosed:
		return rankUnable
	case draining:
		return rankDraining
	case gate == GateUnhealthy:
		return rankUnhealthy
	default:
		return rankFit
	}
}
