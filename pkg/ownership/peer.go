// SPDX-License-Identifier: Apache-2.0

package ownership

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// peer is what a machine knows about another node.
type peer struct {
	name        string
	alive       bool
	synced      bool      // since it was last seen to appear, its digest has matched
	syncUntil   time.Time // how long it may block claims while not synced
	incarnation uint64    // 0: never heard
	ended       uint64    // the incarnation before
	lost        bool      // was out of sight when or since incarnation was first heard
	seq         uint64    // highest heard of this incarnation
	settled     bool
	draining    bool
	digest      uint64 // of entries
	entries     map[netip.Addr]heardEntry
	pullAt      time.Time // not to be asked for everything before
}

type heardEntry struct {
	Entry
	seq uint64
}

func (m *Machine) peer(name string) *peer {
	p := m.peers[name]
	if p == nil {
		p = &peer{name: name, entries: map[netip.Addr]heardEntry{}}
		m.peers[name] = p
	}
	return p
}

func (ev Heard) apply(m *Machine) {
	msg := ev.Message
	if msg.From == m.opt.Self || msg.From == "" {
		return
	}
	p := m.peer(msg.From)
	if msg.Incarnation != p.incarnation {
		if msg.Incarnation == p.ended || msg.Incarnation < p.incarnation && !p.lost {
			return // left over from an earlier run
		}
		m.forget(p)
		p.ended, p.incarnation, p.lost = p.incarnation, msg.Incarnation, !p.alive
	}
	newest := msg.Seq > p.seq
	if newest {
		m.header(p, msg)
	}
	m.entries(p, msg)
	if newest && (msg.Check || msg.Full) {
		m.verify(p, msg.Digest)
	}
	if msg.Pull {
		m.send(p.name, m.full())
	}
}

// forget drops what a peer has said: it has started anew.
func (m *Machine) forget(p *peer) {
	for a := range p.entries {
		m.store(p, Entry{Address: a}, 0)
	}
	m.touchAll = m.touchAll || p.settled
	p.seq, p.synced, p.settled, p.draining = 0, false, false, false
}

func (m *Machine) header(p *peer, msg Message) {
	p.seq = msg.Seq
	if p.settled != msg.Settled || p.draining != msg.Draining {
		p.settled, p.draining = msg.Settled, msg.Draining
		m.touchAll = true
	}
}

// entries takes in what the peer states, unless newer words of it are known.
func (m *Machine) entries(p *peer, msg Message) {
	for _, e := range msg.Entries {
		if p.entries[e.Address].seq < msg.Seq {
			m.store(p, e, msg.Seq)
		}
	}
	if !msg.Full {
		return
	}
	named := make(map[netip.Addr]bool, len(msg.Entries))
	for _, e := range msg.Entries {
		named[e.Address] = true
	}
	for a, e := range p.entries {
		if e.seq < msg.Seq && !named[a] {
			m.store(p, Entry{Address: a}, 0)
		}
	}
}

// store replaces what the peer states about an address. A silent entry is not
// kept; should an older one arrive after it, the digest will tell.
func (m *Machine) store(p *peer, e Entry, seq uint64) {
	old := p.entries[e.Address]
	p.digest ^= old.hash() ^ e.hash()
	if e.silent() {
		delete(p.entries, e.Address)
	} else {
		p.entries[e.Address] = heardEntry{e, seq}
	}
	if old.Entry == e {
		return
	}
	r := m.record(e.Address)
	if old.silent() {
		r.mentions++
	} else if e.silent() {
		r.mentions--
	}
	r.maxTerm = max(r.maxTerm, e.Term)
	r.announced = r.announced || e.Term > 0 && !e.Silent
	r.claimants = listed(r.claimants, p, e.holds())
	r.routers = listed(r.routers, p, e.Route != RouteNone)
	m.touch(r)
	m.correct(p, r, e)
}

// listed returns the list with the peer in it or not, as in says.
func listed(list []*peer, p *peer, in bool) []*peer {
	i := slices.Index(list, p)
	switch {
	case i >= 0 && !in:
		return slices.Delete(list, i, i+1)
	case i < 0 && in:
		return append(list, p)
	}
	return list
}

// correct repeats the own claim to a peer that has made a worse one, which it
// would not have, had it heard.
func (m *Machine) correct(p *peer, r *record, e Entry) {
	if e.holds() && r.own.holds() && r.own.beats(m.opt.Self, e, p.name) {
		m.outbox[r.address] = r
	}
}

// verify compares the record of the peer with the digest that it sent.
func (m *Machine) verify(p *peer, digest uint64) {
	if !p.alive {
		return
	}
	if digest != p.digest {
		m.stale[p.name] = p
		return
	}
	delete(m.stale, p.name)
	if !p.synced {
		p.synced = true
		maps.Copy(m.touched, m.waiting)
	}
}

// chase asks the peers whose record is stale for everything, again and again
// until it arrives: it may be lost on either way.
func (m *Machine) chase() {
	if len(m.stale) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(m.stale)) {
		if p := m.stale[name]; !m.now.Before(p.pullAt) {
			p.pullAt = m.now.Add(m.opt.RefreshInterval / 4)
			m.send(name, Message{Pull: true})
		}
	}
}

// unsyncedUntil returns until when claims are to wait for members that have not
// said what they hold. A node that has just come out of a minority meets the
// others one after the other, and one that it has not met yet may be an owner.
func (m *Machine) unsyncedUntil() time.Time {
	var until time.Time
	if m.opt.Quorum != QuorumNone && m.now.Before(m.gatherUntil) && !m.gathered() {
		until = m.gatherUntil
	}
	for _, p := range m.peers {
		if p.alive && !p.synced && p.syncUntil.After(until) {
			until = p.syncUntil
		}
	}
	return until
}
