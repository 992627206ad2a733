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

// RFC5227Timing takes 4 to 7 s, made for hosts joining unknown networks.
func RFC5227Timing() ProbeTiming {
	return ProbeTiming{Wait: time.Second, Num: 3, Min: time.Second, Max: 2 * time.Second, AnnounceWait: 2 * time.Second}
}

// QuickProbe takes at most 0.8 s. Stations on a wired segment answer within a
// few milliseconds; three probes cover lost packets.
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
	found := make(chan Conflict, 1)
	ports, err := s.listen(addr, interfaces, found)
	defer s.unlisten(addr, ports, found)
	if err != nil {
		return nil, fmt.Errorf("probing for %s: %w", addr, err)
	}
	t := s.config.Probe
	wait := between(0, t.Wait)
	for n := range t.Num + 1 {
		if c, err := await(ctx, found, wait); c != nil || err != nil {
			return c, err
		}
		if n == t.Num {
			break
		}
		for _, p := range ports {
			if err := p.probe(addr); err != nil {
				return nil, fmt.Errorf("probing for %s: %w", addr, err)
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

// listen has the ports for addr tell found of its users.
func (s *Speaker) listen(addr netip.Addr, interfaces []string, found chan<- Conflict) ([]*port, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ports []*port
	for _, l := range Choose(s.links, addr, interfaces).Links {
		p, err := s.port(l, addr)
		if err != nil {
			return ports, err
		}
		if p == nil {
			break
		}
		if err := p.groups.join(addr); err != nil && !noIPv6(err) {
			return ports, err
		}
		p.mu.Lock()
		p.probed[addr] = append(p.probed[addr], found)
		p.mu.Unlock()
		ports = append(ports, p)
	}
	if len(ports) == 0 {
		return nil, ErrNoInterface
	}
	return ports, nil
}

func (s *Speaker) unlisten(addr netip.Addr, ports []*port, found chan<- Conflict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range ports {
		p.mu.Lock()
		p.probed[addr] = slices.DeleteFunc(p.probed[addr], func(c chan<- Conflict) bool { return c == found })
		if len(p.probed[addr]) == 0 {
			delete(p.probed, addr)
		}
		p.mu.Unlock()
		if err := p.groups.leave(addr); err != nil {
			s.logger().V(2).Info("Group not left", "address", addr, "err", err)
		}
	}
}

func (p *port) probe(addr netip.Addr) error {
	frame, err := p.family.probe(addr, p.link.MAC)
	if err != nil {
		return err
	}
	return p.send(frame)
}
