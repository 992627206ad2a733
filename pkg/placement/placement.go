// SPDX-License-Identifier: Apache-2.0

// Package placement orders the nodes that may announce an address at layer 2.
//
// The first candidate announces while all is well, the others follow when it
// fails. First places are spread evenly: among nodes that may take the same
// addresses their numbers differ by at most one after new addresses have been
// placed. What is placed stays: a node that joins or returns gets new addresses
// and later places, never an address that another node announces; a node that
// leaves moves only its own.
//
// The package owns this order. It is pure and must not know clients, sockets or
// what makes a node eligible: the caller lists, per address, the nodes with an
// interface for it, without the excluded ones and, for externalTrafficPolicy
// Local, with a ready endpoint.
package placement

import (
	"cmp"
	"net/netip"
	"slices"
)

// LimitFor returns the number of candidates per address that suits a cluster of
// so many announcer nodes: 3 up to eight, the owner and two that can fail after
// one another, and 5 above, where several may be away at once.
func LimitFor(nodes int) int {
	if nodes > 8 {
		return most
	}
	return 3
}

// most is the largest number of candidates that LimitFor gives.
const most = 5

// Node is a node that may announce an address.
type Node struct {
	Name string
	// Zone is the preference: nodes of a lower one come first. Where all are
	// alike to the address, leave it 0.
	Zone int
}

// Load counts the addresses for which each node is the first candidate.
type Load map[string]int

// Revise returns the candidates of an address: those of the current ones that
// are still eligible, in their present order, then, up to limit, the others, of
// the nearest zone and with the least load first. The first stays first while
// it is eligible, whatever its zone and load. When the first is gone, the next
// takes its place, as it has already done by itself on the fast path.
//
// A limit that has fallen takes no candidate away: the last of them may be the
// only one that lives, and announce. So there may be more than limit, and never
// more than LimitFor gives at most.
//
// It does not change load; where the first is another one, the caller does. The
// names of the eligible nodes differ. The cost is O(n log n) in their number.
func Revise(address netip.Addr, current []string, load Load, eligible []Node, limit int) []string {
	may := make(map[string]bool, len(eligible))
	for _, n := range eligible {
		may[n.Name] = true
	}
	kept := make([]string, 0, limit)
	for _, c := range current {
		if may[c] && len(kept) < max(limit, most) {
			kept = append(kept, c)
			may[c] = false // a name given twice counts once
		}
	}
	if len(kept) >= limit || len(kept) == len(eligible) {
		return kept
	}
	rest := slices.DeleteFunc(slices.Clone(eligible), func(n Node) bool { return !may[n.Name] })
	return append(kept, ordered(address, load, rest, limit-len(kept))...)
}

// ordered returns the names of the nodes, at most limit: by zone, then by load,
// then by a hash of the name with the address, so that the addresses of one node
// do not all fall to the same next one. It changes the order of nodes.
func ordered(address netip.Addr, load Load, nodes []Node, limit int) []string {
	slices.SortFunc(nodes, func(a, b Node) int {
		return cmp.Or(
			cmp.Compare(a.Zone, b.Zone),
			cmp.Compare(load[a.Name], load[b.Name]),
			cmp.Compare(mix(address, a.Name), mix(address, b.Name)),
			cmp.Compare(a.Name, b.Name))
	})
	var out []string
	for _, n := range nodes[:min(limit, len(nodes))] {
		out = append(out, n.Name)
	}
	return out
}

// mix hashes a node's name with an address (FNV-1a, then mixed so that the high
// bits, which decide the order, differ).
func mix(address netip.Addr, name string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for _, b := range address.As16() {
		h = (h ^ uint64(b)) * prime
	}
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * prime
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	return h ^ h>>33
}
