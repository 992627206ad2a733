// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// heartbeats is the socket of the fast detector.
type heartbeats struct {
	conn *net.UDPConn
	self subject
	seal *sealer
	seq  atomic.Uint64
	drop func(netip.AddrPort) bool
	// in holds authentic datagrams until the membership's loop takes them.
	in    chan datagram
	stats *counters
}

func listenHeartbeats(cfg Config, self subject, stats *counters) (*heartbeats, error) {
	addr := netip.AddrPortFrom(cfg.BindAddr.Addr(), cfg.HeartbeatPort)
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	return &heartbeats{
		conn: conn, self: self, seal: newSealer(slices.Clone(cfg.Keys)), drop: cfg.drop,
		in: make(chan datagram, 1024), stats: stats,
	}, nil
}

// read passes authentic datagrams on until the socket is closed. What does not open is counted and passed over: on a
// shared segment anybody can send it.
func (h *heartbeats) read() {
	buf := make([]byte, maxDatagram+1)
	for {
		n, _, err := h.conn.ReadFromUDPAddrPort(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			continue // an ICMP error about an earlier datagram
		}
		g, err := h.seal.open(buf[:n])
		if err != nil {
			h.stats.badDatagrams.Add(1)
			continue
		}
		h.stats.received.Add(1)
		select {
		case h.in <- g:
		default: // the loop is stalled and has a thousand to read; the next one is as good
		}
	}
}

// send encrypts one datagram for all of its receivers. An error is like a loss: nothing to be done about it here.
func (h *heartbeats) send(kind actionKind, accused []subject, to []netip.AddrPort) {
	b, err := h.seal.seal(datagram{from: h.self, seq: h.seq.Add(1), kind: kind, accused: accused})
	if err != nil {
		return
	}
	for _, a := range to {
		if h.drop != nil && h.drop(a) {
			continue
		}
		_, _ = h.conn.WriteToUDPAddrPort(b, a)
		h.stats.sent.Add(1)
	}
}

// beat runs the detector until the membership is closed. It is the only goroutine that touches it.
func (m *Membership) beat() {
	d, replay := m.detector, map[string]*replayState{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var got []datagram
		select {
		case <-m.ctx.Done():
			return
		case <-timer.C:
		case g := <-m.hearts.in:
			got = append(got, g)
		case <-m.listChanged:
			now := time.Now()
			d.members(m.watchable(), now)
			d.dispute(m.disputed(), now)
		case name := <-m.probeAnswers:
			m.act(d.probeAnswered(name))
		}
		// Before anybody is judged, whatever has arrived counts.
		for len(m.hearts.in) > 0 {
			got = append(got, <-m.hearts.in)
		}
		now := time.Now()
		for _, g := range got {
			m.hear(d, g, replay, now)
		}
		m.act(d.tick(now))
		m.stats.stalls.Store(d.stalls)
		m.acquainted.Store(int32(d.acquainted()))
		timer.Reset(max(0, time.Until(d.due)))
	}
}

// replayState is the window of one life of a member.
type replayState struct {
	boot   bootID
	window replayWindow
}

func (m *Membership) hear(d *detector, g datagram, replay map[string]*replayState, now time.Time) {
	p := d.peers[g.from.name]
	if p == nil || p.boot != g.from.boot {
		return // not a member, not this life of it, or not known yet
	}
	r := replay[g.from.name]
	if r == nil || r.boot != g.from.boot {
		r = &replayState{boot: g.from.boot}
		replay[g.from.name] = r
	}
	if !r.window.accept(g.seq) {
		m.stats.replayed.Add(1)
		return
	}
	m.act(d.received(g.from, g.kind, now))
	if g.kind == sendAccuse {
		m.act(d.accusation(g.from.name, g.accused, m.boot, now))
	}
}

// watchable returns the members that take part in heartbeats: those memberlist has, and those in dispute, that did not say
// goodbye.
func (m *Membership) watchable() []subject {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.leaving.Load() {
		return nil
	}
	var out []subject
	for name, e := range m.view.members {
		if e.member() && e.hasMeta && !e.gone {
			out = append(out, subject{name, e.meta.boot})
		}
	}
	return out
}

// act carries out what the detector decided.
func (m *Membership) act(actions []action) {
	for _, a := range actions {
		switch a.kind {
		case sendBeat, sendPing, sendPong:
			m.hearts.send(a.kind, nil, m.heartbeatAddrs(a.to))
		case sendAccuse:
			to := m.heartbeatAddrs(a.to)
			m.stats.accusations.Add(uint64(len(a.subjects)))
			for part := range slices.Chunk(a.subjects, maxAccused) {
				m.hearts.send(a.kind, part, to)
			}
		case probe:
			m.probe(a.to[0])
		default:
			m.judged(a)
		}
	}
}

func (m *Membership) heartbeatAddrs(names []string) []netip.AddrPort {
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := make([]netip.AddrPort, 0, len(names))
	for _, n := range names {
		if e := m.view.members[n]; e != nil {
			out = append(out, netip.AddrPortFrom(e.Addr.Addr(), e.meta.heartbeatPort))
		}
	}
	return out
}

func (m *Membership) judged(a action) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, s := range a.subjects {
		if e := m.view.members[s.name]; e == nil || e.meta.boot != s.boot {
			continue
		}
		cause := CauseHeartbeat
		if a.kind == overrule {
			cause = CauseProbe
		}
		if a.kind == concede {
			m.emit(m.view.conceded(s.name, now)...)
			continue
		}
		events := m.view.judged(s.name, a.kind == fail, a.kind == suspect, cause, now)
		if a.kind == fail && len(events) == 1 {
			events[0].Silence = a.silences[i]
		}
		m.emit(events...)
	}
	if a.kind == fail || a.kind == concede {
		m.notifyListChanged() // who was in dispute is no member any more
	}
}

// probe has memberlist ping a member once, outside its own schedule.
func (m *Membership) probe(name string) {
	m.mu.RLock()
	var addr *net.UDPAddr
	if e := m.view.members[name]; e != nil {
		addr = net.UDPAddrFromAddrPort(e.Addr)
	}
	m.mu.RUnlock()
	if addr == nil {
		return
	}
	m.tasks.Go(func() {
		if _, err := m.list.Ping(name, addr); err != nil {
			return
		}
		select {
		case m.probeAnswers <- name:
		case <-m.ctx.Done():
		}
	})
}

// notifyListChanged makes the detector look at the list of members again.
func (m *Membership) notifyListChanged() {
	m.listChanged.Poke()
}
