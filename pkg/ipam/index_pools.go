// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"maps"
	"net/netip"
	"slices"
	"sort"
)

// located says which pool hands out a range.
type located struct {
	Range
	pool *pool
}

// Usage counts the addresses of one family of a pool.
type Usage struct {
	Capacity    Size   // what the pool can hand out in all: exclusions, edges and lost overlaps are not in it
	Assigned    uint64 // of the capacity
	Reserved    uint64 // of the capacity, released and kept for the last owner
	Quarantined uint64 // of the capacity, in use by another station
	Free        Size   // of the capacity
}

// Outside is an assigned address that the pool it came from does not hand out
// any more: the pool was edited or deleted, or an older pool or a node has the
// address.
type Outside struct {
	Address netip.Addr
	Holder  Holder
}

// SetPools replaces all pools, and the node addresses that no pool hands out.
// Names must be unique. Nothing that is assigned, reserved or quarantined is
// lost; what falls outside is reported by Outside. It returns the overlaps, the
// oldest pool first.
//
// The cost of a call that changes the addresses of a pool grows with all that
// is assigned, of any other only with the number of pools, ranges and nodes.
func (x *Index) SetPools(specs []PoolSpec, nodes []Node) []Overlap {
	specs = slices.SortedFunc(slices.Values(specs), byAge)
	usable, overlaps := divide(specs, nodes)
	old, kept := x.byName, map[*pool]bool{}
	x.pools, x.specs, x.byName, x.located = nil, specs, map[string]*pool{}, nil
	for i, spec := range specs {
		p := newPool(spec, usable[i])
		if was := old[spec.Name]; was != nil && was.usable.Equal(p.usable) {
			p.taken, p.counts = was.taken, was.counts
			kept[p] = true
		}
		x.pools = append(x.pools, p)
		x.byName[spec.Name] = p
		for _, r := range p.usable.ranges {
			x.located = append(x.located, located{Range: r, pool: p})
		}
	}
	slices.SortFunc(x.located, func(a, b located) int { return a.first.Compare(b.first) })
	if len(kept) < len(specs) || len(old) != len(specs) {
		x.recount(kept)
	}
	return overlaps
}

// recount fills the pools that are not in kept, and finds anew what has
// strayed.
func (x *Index) recount(kept map[*pool]bool) {
	clear(x.strayed)
	for addr, held := range x.held {
		x.noteStrayed(addr, held.account.pool)
		if p := x.locate(addr); p != nil && !kept[p] {
			p.note(addr, free, assigned)
		}
	}
	for addr := range x.holds.byAddr {
		if p := x.locate(addr); p != nil && !kept[p] && x.state(addr) != assigned {
			p.note(addr, free, x.state(addr))
		}
	}
}

// noteStrayed records addr if the pool it came from does not have it.
func (x *Index) noteStrayed(addr netip.Addr, from string) {
	if p := x.locate(addr); p != nil && p.spec.Name == from {
		return
	}
	if x.strayed[from] == nil {
		x.strayed[from] = map[netip.Addr]struct{}{}
	}
	x.strayed[from][addr] = struct{}{}
}

// locate returns the pool that hands out addr, or nil.
func (x *Index) locate(addr netip.Addr) *pool {
	i := sort.Search(len(x.located), func(i int) bool { return addr.Compare(x.located[i].last) <= 0 })
	if i == len(x.located) || !x.located[i].Contains(addr) || x.located[i].pool.usable.leavesOut(addr) {
		return nil
	}
	return x.located[i].pool
}

// PoolOf returns the name of the pool that hands out addr.
func (x *Index) PoolOf(addr netip.Addr) (string, bool) {
	if p := x.locate(addr); p != nil {
		return p.spec.Name, true
	}
	return "", false
}

// Usage returns the counts of a family of a pool, all zero for an unknown pool.
// Reservations that are over count until Expire or Pick sees it.
func (x *Index) Usage(poolName string, family Family) Usage {
	p := x.byName[poolName]
	if p == nil || p.counts[family] == nil {
		return Usage{}
	}
	n := p.counts[family]
	u := Usage{
		Capacity:    p.usable.Size(family),
		Assigned:    n[assigned],
		Reserved:    n[reserved],
		Quarantined: n[quarantined],
	}
	u.Free = u.Capacity.minus(SizeFrom(u.Assigned + u.Reserved + u.Quarantined))
	return u
}

// InNamespace returns how many addresses that came from the pool the namespace
// holds, those that are kept for it included (see Keep).
func (x *Index) InNamespace(poolName, namespace string) int {
	if at := x.accounts[poolNamespace{poolName, namespace}]; at != nil {
		return at.count
	}
	return 0
}

// Outside returns the assigned addresses that came from the pool and that it
// does not hand out any more, ascending. The pool need not exist.
func (x *Index) Outside(poolName string) []Outside {
	var strays []Outside
	for _, addr := range slices.SortedFunc(maps.Keys(x.strayed[poolName]), netip.Addr.Compare) {
		strays = append(strays, Outside{Address: addr, Holder: x.held[addr].holder()})
	}
	return strays
}
