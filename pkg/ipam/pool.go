// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Selector decides on labels; a nil Selector selects everything.
type Selector func(labels map[string]string) bool

// PoolSpec is what an AddressPool object says, as far as addresses go.
type PoolSpec struct {
	Name string
	// Created is the object's creation time: of two pools that overlap, the
	// older has the shared part; of two of the same age, the one whose name
	// sorts first.
	Created    time.Time
	Addresses  []Range
	Excluded   []Range // never handed out
	AvoidEdges bool    // hold back .0 and .255 of every IPv4 /24
	AutoAssign bool    // false: only for Services that name the pool or an address of it
	Priority   int32   // higher first
	Disabled   bool    // keeps what is assigned, hands out no more

	// Namespaces and NamespaceSelector each admit namespaces; where both are
	// unset every namespace is admitted.
	Namespaces        []string
	NamespaceSelector Selector
	// ServiceSelector admits Services by their labels.
	ServiceSelector Selector
	// MaxPerNamespace limits the addresses that one namespace holds of the
	// pool; 0 is no limit.
	MaxPerNamespace int
}

// declared returns the addresses that the pool claims against other pools.
func (s PoolSpec) declared() RangeSet { return NewRangeSet(s.Addresses, s.Excluded, false) }

// Node is an address of a node; no pool hands it out.
type Node struct {
	Name    string
	Address netip.Addr
}

// Overlap is a part of a pool that the pool does not hand out, because it
// belongs to an older pool or to a node.
type Overlap struct {
	Pool   string
	Range  Range
	Winner string // the older pool, or ""
	Node   string // the node, or ""
}

// String returns the overlap as the text of a condition.
func (o Overlap) String() string {
	if o.Node != "" {
		return o.Range.String() + " is an address of node " + o.Node + " and is not handed out"
	}
	return o.Range.String() + " belongs to pool " + o.Winner + ", which is older"
}

// pool is a pool in the Index.
type pool struct {
	spec   PoolSpec
	all    RangeSet // as declared, exclusions still in it
	usable RangeSet // what the pool hands out: exclusions, edges, older pools' parts and nodes removed
	taken  *spans
	counts map[Family]*counts
}

// counts is the number of addresses of one family of a pool in each state but
// free.
type counts [stateCount]uint64

func newPool(spec PoolSpec, usable RangeSet) *pool {
	return &pool{
		spec:   spec,
		all:    NewRangeSet(spec.Addresses, nil, false),
		usable: usable,
		taken:  newSpans(usable),
		counts: map[Family]*counts{IPv4: {}, IPv6: {}},
	}
}

// note counts the change of addr, which must be usable, from one state to
// another.
func (p *pool) note(addr netip.Addr, from, to state) {
	if from == to {
		return
	}
	n := p.counts[FamilyOf(addr)]
	if from == free {
		p.taken.add(addr)
	} else {
		n[from]--
	}
	if to == free {
		p.taken.remove(addr)
	} else {
		n[to]++
	}
}

// divide gives every pool the addresses it may hand out, oldest pool first, and
// returns them with the overlaps. specs must be sorted by byAge.
func divide(specs []PoolSpec, nodes []Node) ([]RangeSet, []Overlap) {
	var overlaps []Overlap
	usable := make([]RangeSet, len(specs))
	won := make([]RangeSet, len(specs)) // as usable, edges included
	for i, spec := range specs {
		declared := spec.declared()
		lost := slices.Clone(spec.Excluded)
		for j := range i {
			for _, r := range declared.Overlaps(won[j]) {
				overlaps = append(overlaps, Overlap{Pool: spec.Name, Range: r, Winner: specs[j].Name})
				lost = append(lost, r)
			}
		}
		won[i] = NewRangeSet(spec.Addresses, lost, false)
		for _, node := range nodes {
			if won[i].Contains(node.Address) {
				r := SingleAddress(node.Address)
				overlaps = append(overlaps, Overlap{Pool: spec.Name, Range: r, Node: node.Name})
				lost = append(lost, r)
			}
		}
		usable[i] = NewRangeSet(spec.Addresses, lost, spec.AvoidEdges)
	}
	return usable, overlaps
}

// byAge orders pools by creation time, then name.
func byAge(a, b PoolSpec) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
}
