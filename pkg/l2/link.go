// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
)

// Link is a network interface of this machine as the kernel last described it.
type Link struct {
	// Index is the kernel's interface index.
	Index int
	Name  string
	// MAC is zero for links without an Ethernet address.
	MAC MAC
	// Kind is the kernel's link kind ("vlan", "bond", "bridge", "veth"), or
	// "device" for hardware.
	Kind string
	// Up: enabled by the administrator, with carrier.
	Up bool
	// Loopback and NoARP links resolve no neighbours.
	Loopback, NoARP bool
	// Enslaved: a member of a bond, team or bridge, which receives its frames
	// in its stead.
	Enslaved bool
	// Addresses are the interface's own, each with its prefix length.
	Addresses []netip.Prefix
	// Tentative are those of Addresses that may be another station's still:
	// nothing is sent from them (RFC 4862 §5.4).
	Tentative []netip.Addr
	// Gateways are the next hops of default routes over this link.
	Gateways []netip.Addr
	// DefaultRoutes are the default routes over this link, those of lower metric first.
	DefaultRoutes []DefaultRoute
	// DefaultRoute4 and DefaultRoute6 say that a default route of the main
	// table leaves by this link, with a gateway or without.
	DefaultRoute4, DefaultRoute6 bool
}

// DefaultRoute is one next hop of a default route.
type DefaultRoute struct {
	IPv4 bool
	// Gateway is not valid for a route without one.
	Gateway netip.Addr
	// Metric of the route: the kernel takes the lowest.
	Metric int
}

// Usable says whether addresses can be announced on the link now.
func (l Link) Usable() bool { return l.Up && l.Resolves() }

// Resolves says whether the link has neighbours that find each other by ARP or
// NDP, when it is up.
func (l Link) Resolves() bool {
	return !l.Loopback && !l.NoARP && !l.Enslaved && l.MAC.unicast()
}

// prefixFor returns the length of the link's longest subnet that holds addr,
// and -1 when there is none. Host prefixes (/32, /128) are no subnets.
func (l Link) prefixFor(addr netip.Addr) int {
	longest := -1
	for _, p := range l.Addresses {
		if !p.IsSingleIP() && p.Contains(addr) {
			longest = max(longest, p.Bits())
		}
	}
	return longest
}

// sourceFor returns the address of the link that a question for its neighbour
// addr comes from, and the unspecified one when there is none. It is that of
// the longest subnet that holds addr, or else a link-local one, which every
// IPv6 neighbour can answer, or else any of the family.
func (l Link) sourceFor(addr netip.Addr) netip.Addr {
	source, best := netip.IPv6Unspecified(), -1
	if addr.Is4() {
		source = netip.IPv4Unspecified()
	}
	for _, p := range l.Addresses {
		own := p.Addr()
		if own.BitLen() != addr.BitLen() || own == addr || slices.Contains(l.Tentative, own) {
			continue
		}
		fits := 0
		switch {
		case p.Contains(addr):
			fits = 2 + p.Bits()
		case own.Is6() && own.IsLinkLocalUnicast():
			fits = 1
		}
		if fits > best {
			source, best = own, fits
		}
	}
	return source
}

func (l Link) defaultRouteFor(addr netip.Addr) bool {
	if addr.Is4() {
		return l.DefaultRoute4
	}
	return l.DefaultRoute6
}

// Choice is where an address is announced.
type Choice struct {
	// Links are the chosen interfaces; empty when there is none to use now.
	Links []Link
	// Fallback: no interface's subnet holds the address, and the one with the
	// default route was taken. Neighbours will only ask for the address there
	// if their own configuration puts it on the link.
	Fallback bool
}

// Choose picks the interfaces for addr among links. With globs (path.Match
// syntax, on names) these are all usable links that match one of them.
// Without, they are the usable links with the longest subnet that holds addr,
// or else those with the default route of its family.
func Choose(links []Link, addr netip.Addr, globs []string) Choice {
	if len(globs) > 0 {
		return Choice{Links: filterLinks(links, func(l Link) bool { return matchesAny(l.Name, globs) })}
	}
	longest := -1
	for _, l := range links {
		if l.Usable() {
			longest = max(longest, l.prefixFor(addr))
		}
	}
	if longest >= 0 {
		return Choice{Links: filterLinks(links, func(l Link) bool { return l.prefixFor(addr) == longest })}
	}
	byRoute := filterLinks(links, func(l Link) bool { return l.defaultRouteFor(addr) })
	return Choice{Links: byRoute, Fallback: len(byRoute) > 0}
}

func filterLinks(links []Link, want func(Link) bool) []Link {
	var out []Link
	for _, l := range links {
		if l.Usable() && want(l) {
			out = append(out, l)
		}
	}
	return out
}

func matchesAny(name string, globs []string) bool {
	for _, g := range globs {
		// The pattern was checked by checkGlobs.
		if ok, err := path.Match(g, name); err == nil && ok {
			return true
		}
	}
	return false
}

func checkGlobs(globs []string) error {
	for _, g := range globs {
		if _, err := path.Match(g, ""); err != nil {
			return fmt.Errorf("interface pattern %q: %w", g, err)
		}
	}
	return nil
}
