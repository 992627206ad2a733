// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"net/netip"

	"github.com/google/btree"
)

// spanDegree is the B-tree's branching: of 16, 32 and 64 the quickest here.
const spanDegree = 32

// span is a run of addresses of one pool, first to last, none of them free.
type span struct {
	first, last netip.Addr
}

// spans holds the unavailable addresses of a pool. Two spans are never
// neighbours: where the pool's next address after one is the first of the
// other, they are one span. Addresses given to it must be in the pool.
type spans struct {
	pool RangeSet
	tree *btree.BTreeG[span]
}

func newSpans(pool RangeSet) *spans {
	return &spans{
		pool: pool,
		tree: btree.NewG(spanDegree, func(a, b span) bool { return a.first.Less(b.first) }),
	}
}

// add makes addr, which is free, unavailable.
func (s *spans) add(addr netip.Addr) {
	grown := span{first: addr, last: addr}
	if below, ok := s.atOrBelow(addr); ok {
		if next, ok := s.pool.Next(below.last); ok && next == addr {
			grown.first = below.first // replaces below, whose key is the same
		}
	}
	if next, ok := s.pool.Next(addr); ok {
		if above, ok := s.tree.Delete(span{first: next}); ok {
			grown.last = above.last
		}
	}
	s.tree.ReplaceOrInsert(grown)
}

// remove makes addr, which is unavailable, free.
func (s *spans) remove(addr netip.Addr) {
	whole, ok := s.atOrBelow(addr)
	if !ok || whole.last.Less(addr) {
		return
	}
	if whole.first == addr {
		s.tree.Delete(whole)
	} else {
		prev, _ := s.pool.Prev(addr)
		s.tree.ReplaceOrInsert(span{first: whole.first, last: prev})
	}
	if whole.last != addr {
		next, _ := s.pool.Next(addr)
		s.tree.ReplaceOrInsert(span{first: next, last: whole.last})
	}
}

// lowestFree returns the lowest free address of the pool within the range.
func (s *spans) lowestFree(within Range) (netip.Addr, bool) {
	addr, ok := s.pool.AtOrAbove(within.first)
	if !ok {
		return netip.Addr{}, false
	}
	if taken, found := s.atOrBelow(addr); found && addr.Compare(taken.last) <= 0 {
		if addr, ok = s.pool.Next(taken.last); !ok {
			return netip.Addr{}, false
		}
	}
	if !within.Contains(addr) {
		return netip.Addr{}, false
	}
	return addr, true
}

// atOrBelow returns the last span that begins at addr or below it.
func (s *spans) atOrBelow(addr netip.Addr) (found span, ok bool) {
	s.tree.DescendLessOrEqual(span{first: addr}, func(at span) bool {
		found, ok = at, true
		return false
	})
	return found, ok
}
