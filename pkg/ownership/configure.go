// SPDX-License-Identifier: Apache-2.0

package ownership

func (ev Configured) apply(m *Machine) {
	for _, a := range ev.Addresses {
		r := m.record(a.Address)
		r.recorded = max(r.recorded, a.Term)
		if r.configured && a.Epoch < r.epoch {
			continue
		}
		r.configured, r.candidates, r.epoch = true, a.Candidates, a.Epoch
		m.touch(r)
	}
}

func (ev Removed) apply(m *Machine) {
	for _, a := range ev.Addresses {
		r := m.records[a]
		if r == nil {
			continue
		}
		r.configured, r.candidates, r.epoch = false, nil, 0
		r.gate, r.gateKnown = GateOpen, false
		m.touch(r)
	}
}

func (ev Announced) apply(m *Machine) {
	for _, a := range ev.Addresses {
		r := m.records[a]
		if r == nil || !r.own.holds() || !r.own.Silent {
			continue
		}
		e := r.own
		e.Silent, r.announced = false, true
		m.replace(r, e)
		m.later[a] = r
	}
}

func (ev Unjudged) apply(m *Machine) {
	for _, a := range ev.Addresses {
		if r := m.records[a]; r != nil {
			r.gate, r.gateKnown = GateOpen, false
			m.touch(r)
		}
	}
}

func (ev Eligible) apply(m *Machine) {
	for _, a := range ev.Addresses {
		r := m.record(a)
		r.gate, r.gateKnown, r.patience = ev.Gate, true, ev.Patience
		m.touch(r)
	}
}
