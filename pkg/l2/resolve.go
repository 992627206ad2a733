// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
)

// Resolve asks the neighbour addr for its hardware address on the named
// interface, as a host does that has something to send to it, and returns the
// zero MAC if none answers in the whole time of Config.Probe.
//
// The question comes from an address of the interface (RFC 826, RFC 4861
// §7.2.2), since a probe would tell a neighbour that is making sure of its own
// address that somebody else is about to use it: it would give the address up
// (RFC 5227 §2.1.1, RFC 4862 §5.4.3). Where the interface has no address of
// the family, IPv4 leaves nothing but the probe, and IPv6 cannot ask. The
// error wraps ErrNoInterface if there is nowhere to ask, or nothing to ask
// from.
func (s *Speaker) Resolve(ctx context.Context, addr netip.Addr, name string) (MAC, error) {
	addr = addr.Unmap()
	if err := check(Announcement{Address: addr}); err != nil {
		return MAC{}, err
	}
	q := newSearch(addr, true)
	source, err := s.listenOn(q, name)
	if err != nil {
		return MAC{}, fmt.Errorf("resolving %s on interface %s: %w", addr, name, err)
	}
	defer s.unlistenOn(q)
	c, err := q.run(ctx, s.config.Probe, func(p *port) ([]byte, error) { return p.family.request(addr, source, p.link.MAC) })
	if err != nil {
		return MAC{}, fmt.Errorf("resolving %s on interface %s: %w", addr, name, err)
	}
	if c == nil {
		return MAC{}, nil
	}
	return c.MAC, nil
}

// listenOn has the interface's port tell q of users of the address, and
// returns the address to ask from. Answers come to that one alone: unlike a
// probe, the question needs no membership in the group of the address, which
// the kernel would report to the segment's switches each time.
func (s *Speaker) listenOn(q *search, name string) (netip.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.links, func(l Link) bool { return l.Name == name && l.Usable() })
	if i < 0 {
		return netip.Addr{}, ErrNoInterface
	}
	source := s.links[i].sourceFor(q.addr)
	if source.Is6() && source.IsUnspecified() {
		return netip.Addr{}, fmt.Errorf("no IPv6 address to ask from: %w", ErrNoInterface)
	}
	p, err := s.port(s.links[i], q.addr)
	if err != nil {
		return netip.Addr{}, err
	}
	if p == nil {
		return netip.Addr{}, ErrNoInterface
	}
	p.tell(q)
	return source, nil
}

func (s *Speaker) unlistenOn(q *search) {
	for _, p := range q.ports {
		p.untell(q)
	}
}
