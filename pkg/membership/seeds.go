// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// forgetAfter is how long a member that failed or left stays listed once it is no longer a seed.
const forgetAfter = 10 * time.Minute

// SetSeeds says where members should be. The membership keeps trying to join those addresses that are not members,
// with a growing pause, until they are: so nodes find each other whichever starts first, and partitions heal. It may be
// called at any time with the whole new list; addresses without a port get DefaultPort, and this node's own is skipped.
func (m *Membership) SetSeeds(seeds []netip.AddrPort) {
	list := make([]netip.AddrPort, 0, len(seeds))
	for _, s := range seeds {
		if s = withPort(s, DefaultPort); s.Addr().IsValid() && s != m.cfg.BindAddr {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, netip.AddrPort.Compare)
	m.mu.Lock()
	m.seeds = slices.Compact(list)
	m.mu.Unlock()
	m.seedsChanged.Poke()
}

// retry is when to try a seed again.
type retry struct {
	at    time.Time
	pause time.Duration
}

// rejoin tries absent seeds until the membership is closed.
func (m *Membership) rejoin() {
	t := m.cfg.Tuning
	retries := map[netip.AddrPort]retry{}
	tick := time.NewTicker(t.RejoinMin)
	defer tick.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.seedsChanged:
			clear(retries)
		case <-tick.C:
		}
		now := time.Now()
		due := dueSeeds(m.absentSeeds(now), retries, now, t.RejoinMin, t.RejoinMax)
		m.joinAll(due)
	}
}

// absentSeeds returns the seeds that are not members, and forgets members that nobody expects back.
func (m *Membership) absentSeeds(now time.Time) []netip.AddrPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	present := map[netip.AddrPort]bool{}
	for name, e := range m.view.members {
		if e.listed {
			present[e.Addr] = true
			continue
		}
		if _, seed := slices.BinarySearchFunc(m.seeds, e.Addr, netip.AddrPort.Compare); !seed && now.Sub(e.Since) > forgetAfter {
			delete(m.view.members, name)
		}
	}
	var absent []netip.AddrPort
	for _, s := range m.seeds {
		if !present[s] {
			absent = append(absent, s)
		}
	}
	return absent
}

// dueSeeds returns which absent seeds to try now, and doubles their pause.
func dueSeeds(absent []netip.AddrPort, retries map[netip.AddrPort]retry, now time.Time, least, most time.Duration) []netip.AddrPort {
	for s := range retries {
		if !slices.Contains(absent, s) {
			delete(retries, s)
		}
	}
	var due []netip.AddrPort
	for _, s := range absent {
		r := retries[s]
		if now.Before(r.at) {
			continue
		}
		due = append(due, s)
		r.pause = min(max(2*r.pause, least), most)
		r.at = now.Add(r.pause)
		retries[s] = r
	}
	return due
}

// joinAll exchanges states with the seeds, some at a time. Failure is ordinary: the seed is tried again.
func (m *Membership) joinAll(seeds []netip.AddrPort) {
	if m.leaving.Load() {
		return
	}
	slots, wg := make(chan struct{}, streamsAtOnce), sync.WaitGroup{}
	for _, s := range seeds {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			_, _ = m.list.Join([]string{s.String()})
		})
	}
	wg.Wait()
}
