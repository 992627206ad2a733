// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// ProbeTiming is how long and how often to ask whether anybody uses an
// address. The names are those of RFC 5227 §1.1.
type ProbeTiming struct {
	// Wait is the most to wait before the first probe (PROBE_WAIT); the wait
	// is random, so that machines that start together do not all ask at once.
	Wait time.Duration
	// Num is how many probes are sent (PROBE_NUM).
	Num int
	// Min and Max bound the random time between two (PROBE_MIN, PROBE_MAX).
	Min, Max time.Duration
	// AnnounceWait is how long to listen after the last (ANNOUNCE_WAIT).
	AnnounceWait time.Duration
}

// QuickProbe takes at most 0.8 s. Stations on a wired segment answer within a
// few milliseconds; three probes cover lost packets. The RFC's own times, for
// hosts that join unknown networks, add up to 4 to 7 s.
func QuickProbe() ProbeTiming {
	return ProbeTiming{
		Wait: 50 * time.Millisecond, Num: 3, Min: 150 * time.Millisecond, Max: 200 * time.Millisecond,
		AnnounceWait: 350 * time.Millisecond,
	}
}

// Probe asks on the interfaces that Choose picks whether another station uses
// addr (RFC 5227 §2.1, RFC 4862 §5.4), and returns the first that does, or nil
// after the whole time of Config.Probe. A peer that answers has its name in
// the conflict. The error wraps ErrNoInterface if there is nowhere to ask.
func (s *Speaker) Probe(ctx context.Context, addr netip.Addr, interfaces []string) (*Conflict, error) {
	addr = addr.Unmap()
	if err := check(Announcement{Address: addr, Interfaces: interfaces}); err != nil {
		return nil, err
	}
	q := newSearch(addr, false)
	defer s.unlisten(q)
	if err := s.listen(q, interfaces); err != nil {
		return nil, fmt.Errorf("probing for %s: %w", addr, err)
	}
	c, err := q.run(ctx, s.config.Probe, func(p *port) ([]byte, error) { return p.family.probe(addr, p.link.MAC) })
	if err != nil {
		return nil, fmt.Errorf("probing for %s: %w", addr, err)
	}
	return c, nil
}

// search looks for a station that uses an address.
type search struct {
	addr  netip.Addr
	ports []*port
	found chan Conflict // with room for one
	// usersOnly: who is only about to use the address does not count.
	usersOnly bool
}

func newSearch(addr netip.Addr, usersOnly bool) *search {
	return &search{addr: addr, found: make(chan Conflict, 1), usersOnly: usersOnly}
}

// run sends the question on all ports, as often as t says, until somebody is
// found.
func (q *search) run(ctx context.Context, t ProbeTiming, question func(*port) ([]byte, error)) (*Conflict, error) {
	wait := between(0, t.Wait)
	for n := range t.Num + 1 {
		if c, err := await(ctx, q.found, wait); c != nil || err != nil {
			return c, err
		}
		if n == t.Num {
			break
		}
		for _, p := range q.ports {
			frame, err := question(p)
			if err == nil {
				err = p.send(frame)
			}
			if err != nil {
				return nil, err
			}
		}
		if wait = between(t.Min, t.Max); n == t.Num-1 {
			wait = t.AnnounceWait
		}
	}
	return nil, nil
}

func await(ctx context.Context, found <-chan Conflict, wait time.Duration) (*Conflict, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case c := <-found:
		return &c, nil
	case <-timer.C:
		return nil, nil
	}
}

func between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + rand.N(high-low)
}

// listen has the ports for the address tell q of its users, and of those that
// probe for it too.
func (s *Speaker) listen(q *search, interfaces []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range Choose(s.links, q.addr, interfaces).Links {
		p, err := s.port(l, q.addr)
		if err != nil {
			return err
		}
		if p == nil {
			break
		}
		if err := p.groups.join(q.addr); err != nil && !noIPv6(err) {
			return err
		}
		p.tell(q)
	}
	if len(q.ports) == 0 {
		return ErrNoInterface
	}
	return nil
}

func (s *Speaker) unlisten(q *search) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range q.ports {
		p.untell(q)
		if err := p.groups.leave(q.addr); err != nil {
			s.logger().V(2).Info("Group not left", "address", q.addr, "err", err)
		}
	}
}

// tell has the port tell q from here on.
func (p *port) tell(q *search) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probed[q.addr] = append(p.probed[q.addr], q)
	q.ports = append(q.ports, p)
}

func (p *port) untell(q *search) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probed[q.addr] = slices.DeleteFunc(p.probed[q.addr], func(other *search) bool { return other == q })
	if len(p.probed[q.addr]) == 0 {
		delete(p.probed, q.addr)
	}
}
