// SPDX-License-Identifier: Apache-2.0

package ownership

import "maps"

// state replaces what this node states about an address and has it gossiped.
func (m *Machine) state(r *record, e Entry) {
	if r.own == e {
		return
	}
	m.replace(r, e)
	m.outbox[r.address] = r
}

func (m *Machine) replace(r *record, e Entry) {
	m.digest ^= r.own.hash() ^ e.hash()
	r.own = e
}

// flush gossips what changed, in batches; or a bare header when one is due.
func (m *Machine) flush() {
	if m.now.Before(m.refreshAt) && !m.hail && len(m.outbox) == 0 {
		return
	}
	maps.Copy(m.outbox, m.later)
	clear(m.later)
	var batch []Entry
	for _, r := range sorted(m.outbox) {
		if len(batch) == m.opt.MaxEntries {
			m.actions = append(m.actions, Gossip{m.stamp(Message{Entries: batch})})
			batch = nil
		}
		batch = append(batch, r.own)
	}
	last := m.stamp(Message{Entries: batch, Check: true, Digest: m.digest})
	m.actions = append(m.actions, Gossip{last})
	clear(m.outbox)
	m.hail = false
	m.refreshAt = m.now.Add(m.opt.RefreshInterval)
}

// full returns everything that this node states.
func (m *Machine) full() Message {
	msg := Message{Full: true, Check: true, Digest: m.digest}
	for _, r := range sorted(m.records) {
		if !r.own.silent() {
			msg.Entries = append(msg.Entries, r.own)
		}
	}
	return msg
}

func (m *Machine) send(to string, msg Message) {
	m.actions = append(m.actions, Send{to, m.stamp(msg)})
}

func (m *Machine) stamp(msg Message) Message {
	m.seq++
	msg.From, msg.Incarnation, msg.Seq = m.opt.Self, m.opt.Incarnation, m.seq
	msg.Settled, msg.Draining = m.settled && !m.left, m.draining
	return msg
}
