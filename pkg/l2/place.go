// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// This file keeps addresses on the right ports. Everything in it is called
// with Speaker.mu held, unless it says otherwise.

const (
	retryInterval = time.Second
	// sweepInterval is how often ports without addresses are closed.
	sweepInterval = 30 * time.Second
)

// identities tells stations apart by hardware address.
type identities struct {
	own   map[MAC]struct{}
	peers map[MAC]string
}

func newIdentities(links []Link, peers map[MAC]string) *identities {
	own := make(map[MAC]struct{}, len(links))
	for _, l := range links {
		if l.MAC.unicast() {
			own[l.MAC] = struct{}{}
		}
	}
	return &identities{own: own, peers: peers}
}

func (i *identities) of(m MAC) (station, string) {
	if _, ok := i.own[m]; ok {
		return self, ""
	}
	if name, ok := i.peers[m]; ok {
		return peer, name
	}
	return stranger, ""
}

// place brings w's entries in line with its choice of links, and returns the
// entries that are new.
func (s *Speaker) place(w *placement) []*entry {
	choice := Choose(s.links, w.Address, w.Interfaces)
	if choice.Fallback && !w.fallback {
		s.logger().Info("No interface's subnet holds the address, using the default route's",
			"address", w.Address, "interface", choice.Links[0].Name)
	}
	w.fallback, w.err = choice.Fallback, nil
	kept := w.entries[:0]
	for _, e := range w.entries {
		if slices.ContainsFunc(choice.Links, func(l Link) bool { return l.Index == e.port.link.Index }) {
			kept = append(kept, e)
			continue
		}
		s.withdraw(e)
	}
	clear(w.entries[len(kept):])
	w.entries = kept
	var fresh []*entry
	for _, l := range choice.Links {
		if slices.ContainsFunc(w.entries, func(e *entry) bool { return e.port.link.Index == l.Index }) {
			continue
		}
		e, err := s.enter(w, l)
		if err != nil {
			w.err = errors.Join(w.err, err)
			s.retry.Poke()
			continue
		}
		if e != nil {
			w.entries = append(w.entries, e)
			fresh = append(fresh, e)
		}
	}
	return fresh
}

// enter answers for w's address on l from here on.
func (s *Speaker) enter(w *placement, l Link) (*entry, error) {
	addr := w.Address
	p, err := s.port(l, addr)
	if p == nil || err != nil {
		return nil, err
	}
	if err := p.groups.join(addr); err != nil && !noIPv6(err) {
		return nil, err
	}
	e := &entry{addr: addr, port: p, silent: w.silent}
	p.mu.Lock()
	p.held[addr] = e
	p.mu.Unlock()
	return e, nil
}

// withdraw stops answering for the entry.
func (s *Speaker) withdraw(e *entry) {
	s.announcer.drop(e)
	e.port.mu.Lock()
	delete(e.port.held, e.addr)
	e.port.mu.Unlock()
	if err := e.port.groups.leave(e.addr); err != nil {
		s.logger().V(2).Info("Group not left", "address", e.addr, "err", err)
	}
}

func (s *Speaker) remove(addr netip.Addr) {
	w := s.wanted[addr]
	if w == nil {
		return
	}
	for _, e := range w.entries {
		s.withdraw(e)
	}
	delete(s.wanted, addr)
}

// port returns the port for addr's family on l, opening it if need be; nil
// when the speaker is not running.
func (s *Speaker) port(l Link, addr netip.Addr) (*port, error) {
	key := portKey{index: l.Index, four: addr.Is4()}
	if p := s.ports[key]; p != nil || s.ctx == nil || s.ctx.Err() != nil {
		return p, nil //nolint:nilerr // a speaker that ends opens no ports: that is no error of this one
	}
	stats := &s.ndp
	if key.four {
		stats = &s.arp
	}
	p, err := openPort(l, familyOf(addr), stats)
	if err != nil {
		return nil, err
	}
	p.identify = func(m MAC) (station, string) { return s.who.Load().of(m) }
	p.report = s.report
	s.ports[key] = p
	go p.serve(s.ctx) // ends, and is waited for, in close
	return p, nil
}

// setLinks takes in what netlink says. It takes the lock itself.
func (s *Speaker) setLinks(links []Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.EqualFunc(s.links, links, sameLink) {
		return
	}
	s.links = links
	s.who.Store(newIdentities(links, s.peers))
	s.closeStale()
	s.placeAll()
	s.changed.Poke()
}

// placeAll places every wanted address anew.
func (s *Speaker) placeAll() {
	var fresh []*entry
	for _, w := range s.wanted {
		fresh = append(fresh, s.place(w)...)
		if w.err != nil {
			s.logger().Error(w.err, "Address not announced on an interface", "address", w.Address)
		}
	}
	s.announcer.add(fresh)
}

// closeStale closes the ports of links that have gone down or changed their
// name or hardware address. Their addresses are announced again once they are
// placed anew.
func (s *Speaker) closeStale() {
	for key, p := range s.ports {
		i := slices.IndexFunc(s.links, func(l Link) bool { return l.Index == key.index })
		if i >= 0 && s.links[i].Usable() && s.links[i].MAC == p.link.MAC && s.links[i].Name == p.link.Name {
			continue
		}
		p.close()
		delete(s.ports, key)
		for addr := range p.held {
			if w := s.wanted[addr]; w != nil {
				w.entries = slices.DeleteFunc(w.entries, func(e *entry) bool { return e.port == p })
			}
		}
	}
}

// sweep closes ports that nothing needs any more.
func (s *Speaker) sweep() {
	for key, p := range s.ports {
		p.mu.RLock()
		unused := len(p.held) == 0 && len(p.probed) == 0
		p.mu.RUnlock()
		if unused {
			p.close()
			delete(s.ports, key)
		}
	}
}

// maintain tries failed placements again and sweeps, until ctx is done. It
// takes the lock itself.
func (s *Speaker) maintain(ctx context.Context) {
	sweep := time.NewTicker(sweepInterval)
	defer sweep.Stop()
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.retry:
			if again == nil {
				again = time.After(retryInterval)
			}
		case <-again:
			again = nil
			s.mu.Lock()
			s.placeAll()
			s.mu.Unlock()
		case <-sweep.C:
			s.mu.Lock()
			s.sweep()
			s.mu.Unlock()
		}
	}
}

func sameLink(a, b Link) bool {
	return a.Index == b.Index && a.Name == b.Name && a.MAC == b.MAC && a.Kind == b.Kind && a.Up == b.Up &&
		a.Loopback == b.Loopback && a.NoARP == b.NoARP && a.Enslaved == b.Enslaved &&
		a.DefaultRoute4 == b.DefaultRoute4 && a.DefaultRoute6 == b.DefaultRoute6 &&
		slices.Equal(a.Addresses, b.Addresses) && slices.Equal(a.Tentative, b.Tentative) &&
		slices.Equal(a.Gateways, b.Gateways) && slices.Equal(a.DefaultRoutes, b.DefaultRoutes)
}
