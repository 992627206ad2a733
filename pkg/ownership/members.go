// SPDX-License-Identifier: Apache-2.0

package ownership

import "slices"

func (ev MembersChanged) apply(m *Machine) {
	clear(m.voters)
	for _, v := range ev.Voters {
		m.voters[v] = true
	}
	alive := make(map[string]bool, len(ev.Alive))
	names := slices.Sorted(slices.Values(ev.Alive))
	for _, n := range names {
		alive[n] = true
	}
	for _, p := range m.peers {
		if p.alive && !alive[p.name] {
			p.alive, p.synced, p.lost = false, false, true
			delete(m.stale, p.name)
			m.touchAll = true
		}
	}
	for _, n := range names {
		if n != m.opt.Self && !m.peer(n).alive {
			m.appear(m.peer(n))
		}
	}
	m.buryStrangers()
	m.weighQuorum()
}

func (ev Lost) apply(m *Machine) {
	if p := m.peers[ev.Node]; p != nil && p.alive {
		p.lost = true
		m.appear(p)
	}
}

// appear makes a peer alive and exchanges everything with it.
func (m *Machine) appear(p *peer) {
	p.alive, p.synced = true, false
	p.syncUntil = m.now.Add(m.opt.SyncTimeout)
	p.pullAt = m.now.Add(m.opt.RefreshInterval / 4)
	m.stale[p.name] = p
	m.touchAll = true
	msg := m.full()
	msg.Pull = true
	m.send(p.name, msg)
}

// buryStrangers drops peers that are gone and belong to the cluster no more.
func (m *Machine) buryStrangers() {
	for n, p := range m.peers {
		if !p.alive && !m.voters[n] {
			m.forget(p)
			delete(m.peers, n)
		}
	}
}

func (ev Gateway) apply(m *Machine) {
	m.gateway = ev.Reachable
	m.weighQuorum()
}

// weighQuorum finds out whether this node may announce.
func (m *Machine) weighQuorum() {
	was := m.quorate
	m.quorate = m.opt.Quorum == QuorumNone || m.majority()
	if m.quorate != was {
		m.touchAll = true
		m.gatherUntil = m.now.Add(m.opt.SyncTimeout / 4)
	}
}

func (m *Machine) majority() bool {
	alive := 0
	for v := range m.voters {
		if v == m.opt.Self || m.peers[v] != nil && m.peers[v].alive {
			alive++
		}
	}
	if len(m.voters) == 2 && alive == 1 && m.voters[m.opt.Self] {
		return m.gateway
	}
	return 2*alive > len(m.voters)
}

// gathered reports whether every member of the cluster is in sight.
func (m *Machine) gathered() bool {
	for v := range m.voters {
		if v != m.opt.Self && (m.peers[v] == nil || !m.peers[v].alive) {
			return false
		}
	}
	return true
}

func (Settled) apply(m *Machine) {
	if !m.settled {
		m.settle()
	}
}

func (m *Machine) settle() {
	m.settled, m.hail, m.touchAll = true, true, true
}

func (ev Drain) apply(m *Machine) {
	if m.draining != ev.Active {
		m.draining, m.hail, m.touchAll = ev.Active, true, true
	}
}

func (Leave) apply(m *Machine) {
	m.left, m.draining, m.hail, m.touchAll = true, true, true, true
}

// Tick changes nothing: Step looks at the time by itself.
func (Tick) apply(*Machine) {}
