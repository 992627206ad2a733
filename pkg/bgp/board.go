// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/fairlead-io/fairlead/pkg/wake"
)

// board is what is known of the sessions. It is written by the server's goroutines and read by anybody.
type board struct {
	changed wake.Signal

	mu     sync.Mutex
	byName map[string]*entry
	byAddr map[netip.Addr]string
	counts map[class]familyCount
	told   func(n class, peer string) bool
}

// entry is one session.
type entry struct {
	Session
	// late is set when the session has been Established for bfdGrace or longer, and BFD is not up.
	late bool
	// untried is set when the last error is that no session could be begun.
	untried bool
	// overLimit is when the session was closed because the peer sent too many routes; zero if it was not, or is tried again.
	overLimit time.Time
	// families that both sides carry; empty unless Established.
	families map[bgp.Family]bool
}

// familyCount counts the prefixes of a class.
type familyCount map[bgp.Family]int

func newBoard(changed wake.Signal) *board {
	return &board{
		changed: changed, byName: map[string]*entry{}, byAddr: map[netip.Addr]string{},
		told: func(class, string) bool { return false },
	}
}

// poke wakes the reader; it is called with mu held or not.
func (b *board) poke() { b.changed.Poke() }

// with runs f on the entry of a name, which it makes if need be, and wakes the reader if that changes it.
func (b *board) with(name string, f func(*entry)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.byName[name]
	if !ok {
		e = &entry{Session: Session{Peer: name, State: Idle, Since: time.Now()}}
		b.byName[name] = e
	}
	before := e.Session
	f(e)
	if !ok || e.Session != before {
		b.poke()
	}
}

func (b *board) add(name string) { b.with(name, func(*entry) {}) }
func (b *board) fail(name, reason string) {
	b.with(name, func(e *entry) { e.LastError, e.untried = reason, true })
}
func (b *board) bfd(name, state string) { b.with(name, func(e *entry) { e.BFD = state }) }
func (b *board) know(at netip.Addr, p Peer) {
	b.with(p.Name, func(e *entry) {
		b.byAddr[at] = p.Name
		e.Address, e.LocalASN = at, p.LocalASN
		if e.untried {
			e.LastError, e.untried = "", false
		}
		if !p.BFD.Enabled() {
			e.BFD = ""
		}
	})
}

// forget makes the session at an address one that is not there. Where it was established, why is its last error, unless
// it is known why none can be begun.
func (b *board) forget(at netip.Addr, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.byName[b.byAddr[at]]; e != nil {
		switch {
		case e.untried:
		case e.State == Established && why != "":
			e.LastError = "the session was ended here: " + why
		default:
			e.LastError = ""
		}
		e.to(Idle)
		e.Address = netip.Addr{}
	}
	delete(b.byAddr, at)
	b.poke()
}

// keep drops the sessions with peers that are not in names.
func (b *board) keep(names map[string]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name := range b.byName {
		if !names[name] {
			delete(b.byName, name)
			b.poke()
		}
	}
}

func (b *board) clear() { b.keep(nil) }

// count learns how many prefixes each class has, and who is told of a class.
func (b *board) count(routes map[netip.Prefix]class, c *classes) {
	counts := map[class]familyCount{}
	for prefix, n := range routes {
		if counts[n] == nil {
			counts[n] = familyCount{}
		}
		family := bgp.RF_IPv4_UC
		if prefix.Addr().Is6() {
			family = bgp.RF_IPv6_UC
		}
		counts[n][family]++
	}
	told := map[class][]member{}
	for n := range counts {
		told[n] = c.members[n]
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts = counts
	b.told = func(n class, peer string) bool {
		for _, m := range told[n] {
			if m.tells(peer) {
				return true
			}
		}
		return false
	}
	b.poke()
}

// to changes the state.
func (e *entry) to(s State) bool {
	if e.State == s {
		return false
	}
	if e.State == Established {
		e.Flaps++
		e.families = nil
	}
	e.State, e.Since, e.late = s, time.Now(), false
	return true
}

// update takes in what the server says of a session.
func (b *board) update(ev *apiutil.WatchEventMessage_PeerEvent, _ time.Time) {
	// The end of a deleted peer is known already, and may come when the next session with its address has begun.
	if ev.Type != apiutil.PEER_EVENT_STATE || ev.Peer.State.DisconnectReason == api.PeerState_DISCONNECT_REASON_DECONFIGURED {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.byName[b.byAddr[ev.Peer.State.NeighborAddress]]
	if e == nil {
		return
	}
	state, was := stateOf(ev.Peer.State.SessionState), e.State
	if !e.to(state) {
		return
	}
	if was == Established {
		e.LostByBFD = byBFD(ev.Peer.State.DisconnectReason, ev.Peer.State.DisconnectMessage)
	}
	if ev.Peer.State.AdminState == api.PeerState_ADMIN_STATE_PFX_CT {
		e.LastError, e.overLimit = overLimitInWords(), e.Since
	} else if state == Established {
		e.LastError = ""
		e.families = commonFamilies(ev.Peer.State.LocalCap, ev.Peer.State.RemoteCap)
	} else if s := ev.Peer.State; s.DisconnectMessage != "" && isError(s.DisconnectReason) {
		e.LastError = endInWords(s.DisconnectReason, s.DisconnectMessage)
	}
	b.poke()
}

// rested returns the peers whose sessions were closed for too many routes so long ago that they are to be tried again, and
// takes it that they are.
func (b *board) rested(now time.Time, rest time.Duration) []netip.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []netip.Addr
	for _, e := range b.byName {
		if !e.overLimit.IsZero() && now.Sub(e.overLimit) >= rest && e.Address.IsValid() {
			e.overLimit = time.Time{}
			out = append(out, e.Address)
		}
	}
	return out
}

// awaitBFD makes it an error that BFD of an Established session is not up, once it has had the time.
func (b *board) awaitBFD(name string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.byName[name]
	if e == nil {
		return
	}
	late := e.State == Established && e.BFD != "" && e.BFD != bfdUp && now.Sub(e.Since) >= bfdGrace
	if late != e.late {
		e.late = late
		b.poke()
	}
}

func commonFamilies(local, remote []bgp.ParameterCapabilityInterface) map[bgp.Family]bool {
	ours := map[bgp.Family]bool{}
	for _, c := range local {
		if mp, ok := c.(*bgp.CapMultiProtocol); ok {
			ours[mp.CapValue] = true
		}
	}
	out := map[bgp.Family]bool{}
	for _, c := range remote {
		if mp, ok := c.(*bgp.CapMultiProtocol); ok && ours[mp.CapValue] {
			out[mp.CapValue] = true
		}
	}
	if len(out) == 0 {
		// RFC 4760 section 8: without the capability, IPv4 unicast it is.
		out[bgp.RF_IPv4_UC] = true
	}
	return out
}

// heard takes the errors that the server only logs, such as that of a connection refused.
func (b *board) heard(at netip.Addr, reason string) {
	reason = withoutPorts(reason)
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.byName[b.byAddr[at]]; e != nil && e.State != Established && e.LastError != reason {
		e.LastError = reason
		b.poke()
	}
}

// sessions returns all of them, by name.
func (b *board) sessions() []Session {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Session, 0, len(b.byName))
	for _, name := range sortedKeys(b.byName) {
		e := b.byName[name]
		s := e.Session
		if s.State == Established && (s.BFD == "" || s.BFD == bfdUp) {
			for n, families := range b.counts {
				if !b.told(n, name) {
					continue
				}
				for family, count := range families {
					if e.families[family] {
						s.Prefixes += count
					}
				}
			}
		}
		if e.late && s.BFD != "" && s.BFD != bfdUp {
			s.LastError = fmt.Sprintf("bfd is %s: no routes are announced", s.BFD)
		}
		out = append(out, s)
	}
	return out
}
