// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"net/netip"
	"slices"
	"sort"

	"go4.org/netipx"
)

// RangeSet is a set of addresses of both families: ranges, less exclusions,
// less (if wanted) the edges of every IPv4 /24. Its addresses are ordered, IPv4
// before IPv6. No operation enumerates addresses: each costs the logarithm of
// the number of ranges. The zero RangeSet is empty. A RangeSet does not change.
type RangeSet struct {
	ranges     []Range // ascending, disjoint, not adjacent
	avoidEdges bool
}

// NewRangeSet returns the addresses of include that are not in exclude. With
// avoidEdges the addresses that end in .0 or .255 are left out of IPv4, for the
// sake of clients and routers that take them for a network or a broadcast
// address.
func NewRangeSet(include, exclude []Range, avoidEdges bool) RangeSet {
	var b netipx.IPSetBuilder
	for _, r := range include {
		b.AddRange(netipx.IPRangeFrom(r.first, r.last))
	}
	for _, r := range exclude {
		b.RemoveRange(netipx.IPRangeFrom(r.first, r.last))
	}
	// The only error is an invalid range, which is the empty one: it adds and
	// removes nothing.
	set, _ := b.IPSet()
	s := RangeSet{avoidEdges: avoidEdges}
	for _, r := range set.Ranges() {
		s.ranges = append(s.ranges, Range{first: r.From(), last: r.To()})
	}
	slices.SortFunc(s.ranges, func(a, b Range) int { return a.first.Compare(b.first) })
	return s
}

// Equal reports whether both sets were made of the same addresses.
func (s RangeSet) Equal(t RangeSet) bool {
	return s.avoidEdges == t.avoidEdges && slices.Equal(s.ranges, t.ranges)
}

// Contains reports whether addr is in the set.
func (s RangeSet) Contains(addr netip.Addr) bool {
	i := s.search(addr)
	return i < len(s.ranges) && s.ranges[i].Contains(addr) && !s.leavesOut(addr)
}

// Covers reports whether one range of the set holds all of r, edges included.
func (s RangeSet) Covers(r Range) bool {
	if r.IsEmpty() {
		return true
	}
	i := s.search(r.first)
	return i < len(s.ranges) && s.ranges[i].Covers(r)
}

// Overlaps returns what both sets have in common, ascending, and nil where that
// is nothing. Edges count as part of a set here: an edge that one pool holds
// back is not for another to hand out.
func (s RangeSet) Overlaps(t RangeSet) []Range {
	var common []Range
	for i, j := 0, 0; i < len(s.ranges) && j < len(t.ranges); {
		if r, ok := s.ranges[i].Intersect(t.ranges[j]); ok {
			common = append(common, r)
		}
		if s.ranges[i].last.Less(t.ranges[j].last) {
			i++
		} else {
			j++
		}
	}
	return common
}

// Size returns the number of addresses of a family in the set.
func (s RangeSet) Size(family Family) Size {
	var n Size
	for _, r := range s.ranges {
		if r.Family() != family {
			continue
		}
		n = n.Plus(r.Size())
		if s.avoidEdges && family == IPv4 {
			n = n.minus(SizeFrom(edgesBelow(sizeOf(r.last).lo+1) - edgesBelow(sizeOf(r.first).lo)))
		}
	}
	return n
}

// Next returns the lowest address of the set above addr.
func (s RangeSet) Next(addr netip.Addr) (netip.Addr, bool) {
	next := addr.Next()
	if !next.IsValid() {
		if !addr.Is4() {
			return netip.Addr{}, false
		}
		next = netip.IPv6Unspecified()
	}
	return s.AtOrAbove(next)
}

// Prev returns the highest address of the set below addr.
func (s RangeSet) Prev(addr netip.Addr) (netip.Addr, bool) {
	prev := addr.Prev()
	if !prev.IsValid() {
		if !addr.Is6() {
			return netip.Addr{}, false
		}
		prev = IPv4.Range().last
	}
	return s.atOrBelow(prev)
}

// AtOrAbove returns the lowest address of the set that is addr or above it.
func (s RangeSet) AtOrAbove(addr netip.Addr) (netip.Addr, bool) {
	for _, r := range s.ranges[s.search(addr):] {
		at := addr
		if at.Less(r.first) {
			at = r.first
		}
		for at.IsValid() && s.leavesOut(at) {
			at = at.Next()
		}
		if r.Contains(at) {
			return at, true
		}
	}
	return netip.Addr{}, false
}

func (s RangeSet) atOrBelow(addr netip.Addr) (netip.Addr, bool) {
	i := s.search(addr)
	if i < len(s.ranges) && s.ranges[i].first.Compare(addr) <= 0 {
		i++
	}
	for _, r := range slices.Backward(s.ranges[:i]) {
		at := addr
		if r.last.Less(at) {
			at = r.last
		}
		for at.IsValid() && s.leavesOut(at) {
			at = at.Prev()
		}
		if r.Contains(at) {
			return at, true
		}
	}
	return netip.Addr{}, false
}

// search returns the index of the first range that does not end below addr.
func (s RangeSet) search(addr netip.Addr) int {
	return sort.Search(len(s.ranges), func(i int) bool { return addr.Compare(s.ranges[i].last) <= 0 })
}

// leavesOut reports whether addr is an edge and the set is without edges.
func (s RangeSet) leavesOut(addr netip.Addr) bool {
	if !s.avoidEdges || !addr.Is4() {
		return false
	}
	host := addr.As4()[3]
	return host == 0 || host == 255
}

// edgesBelow returns how many of the IPv4 addresses below n end in .0 or .255.
func edgesBelow(n uint64) uint64 { return (n+255)/256 + n/256 }
