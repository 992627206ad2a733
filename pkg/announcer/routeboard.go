// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
)

// routeBoard is what the loop and BGP tell each other.
type routeBoard struct {
	changed func() // wakes BGP
	noticed func() // wakes the loop

	mu       sync.Mutex
	withheld map[netip.Addr]bool
	peers    []string
}

func newRouteBoard(changed, noticed func()) *routeBoard {
	return &routeBoard{changed: changed, noticed: noticed, withheld: map[netip.Addr]bool{}}
}

// withhold sets whether an address is kept from routers.
func (b *routeBoard) withhold(addr netip.Addr, withheld bool) {
	b.mu.Lock()
	was := b.withheld[addr]
	if withheld {
		b.withheld[addr] = true
	} else {
		delete(b.withheld, addr)
	}
	b.mu.Unlock()
	if was != withheld {
		b.changed()
	}
}

// withholding returns the addresses that are kept from routers.
func (b *routeBoard) withholding() map[netip.Addr]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.withheld)
}

// routers returns the peers that take routes, sorted.
func (b *routeBoard) routers() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.peers
}

// setRouters replaces them.
func (b *routeBoard) setRouters(peers []string) {
	slices.Sort(peers)
	b.mu.Lock()
	same := slices.Equal(b.peers, peers)
	b.peers = peers
	b.mu.Unlock()
	if !same {
		b.noticed()
	}
}
