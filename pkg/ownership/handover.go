// SPDX-License-Identifier: Apache-2.0

package ownership

import "slices"

// offer asks a better candidate, where there is one, to take over an address
// that this node holds. It goes on holding until that one has claimed, so the
// address is never without an owner; whoever does not answer in time is passed
// over for the next, and so on in turn.
func (m *Machine) offer(r *record) {
	heirs := m.heirs(r)
	if len(heirs) == 0 {
		m.timers.stop(r)
		r.attempt = 0
		m.yield(r, PhaseHolding, "")
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
	if r.attempt < len(heirs) {
		m.actions = append(m.actions, Offered{Address: r.address, For: m.opt.HandoverTimeout})
	}
	m.yield(r, PhaseYielding, heirs[r.attempt%len(heirs)])
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
