// SPDX-License-Identifier: Apache-2.0

package ownership

import (
	"slices"
	"time"
)

// firstWords is how long a node that has taken an address over from one that is
// gone is not asked to be silent about it, whoever may be about to announce it
// next: neighbours are to hear of it more than once. In a handover they have heard
// of a node that goes on forwarding.
const firstWords = 200 * time.Millisecond

// offer asks a better candidate, where there is one, to take over an address
// that this node holds. It goes on holding until that one has claimed, so the
// address is never without an owner; whoever does not answer in time is passed
// over for the next, and so on in turn.
func (m *Machine) offer(r *record) {
	m.speakAgain(r)
	heirs := m.heirs(r)
	if len(heirs) == 0 {
		m.timers.stop(r)
		r.attempt, r.bettered = 0, time.Time{}
		m.yield(r, PhaseHolding, "")
		return
	}
	if due := m.patient(r); m.now.Before(due) {
		m.timers.set(r, due)
		return
	}
	if r.own.Phase == PhaseYielding && slices.Contains(heirs, r.own.Successor) && m.now.Before(r.askUntil) {
		m.timers.set(r, r.askUntil)
		return
	}
	if r.own.Phase == PhaseYielding {
		r.attempt++
		m.outbox[r.address] = r // repeated even if it is the same one
	}
	r.askUntil = m.now.Add(m.opt.HandoverTimeout)
	m.timers.set(r, r.askUntil)
	if r.attempt < len(heirs) && m.now.Sub(r.spoken) >= firstWords {
		// Somewhat longer than it is waited for: it may accept at the very end.
		m.actions = append(m.actions, Offered{Address: r.address, For: m.opt.HandoverTimeout + m.opt.HandoverTimeout/5})
	}
	m.yield(r, PhaseYielding, heirs[r.attempt%len(heirs)])
}

// patient returns until when this node, for which there is a better one, asks
// nobody; the zero time where it has no reason to wait.
func (m *Machine) patient(r *record) time.Time {
	waits := r.patience > 0 && r.gate == GateUnhealthy && r.own.Phase == PhaseHolding
	if !waits || m.draining || !slices.Contains(r.candidates, m.opt.Self) {
		r.bettered = time.Time{}
		return time.Time{}
	}
	if r.bettered.IsZero() {
		r.bettered = m.now
	}
	return r.bettered.Add(r.patience)
}

// speakAgain has an address announced again that another node may have announced
// since and does not hold any more: the one that was asked, which is gone, or one
// that took it over while this node was out of sight.
func (m *Machine) speakAgain(r *record) {
	_, p := m.liveClaim(r)
	outlived := p == nil && r.maxTerm > max(r.own.Term, r.outlived)
	if outlived {
		r.outlived = r.maxTerm
	}
	if !r.own.Silent && (outlived || r.own.Phase == PhaseYielding && m.lost(r.own.Successor)) {
		r.spoken = m.now
		m.actions = append(m.actions, Reannounce{r.address})
	}
}

// lost reports whether a node that was asked to take over is gone, or was since.
func (m *Machine) lost(node string) bool {
	p := m.peers[node]
	return p == nil || !p.alive || !p.settled
}

func (m *Machine) yield(r *record, phase Phase, successor string) {
	e := r.own
	e.Phase, e.Successor = phase, successor
	m.state(r, e)
}

// heirs returns the live candidates that are better than this node, best first.
// A node that is equal is none: an owner keeps what it has.
func (m *Machine) heirs(r *record) []string {
	self := rankOutsider
	if slices.Contains(r.candidates, m.opt.Self) {
		self = m.rankOf(r, m.opt.Self)
	}
	if self == rankFit {
		return nil
	}
	var out []string
	for want := rankFit; want < self; want++ {
		for _, c := range r.candidates {
			if c != m.opt.Self && m.rankOf(r, c) == want {
				out = append(out, c)
			}
		}
	}
	return out
}
