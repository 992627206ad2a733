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
	"maps"
	"net/netip"
	"slices"
)

// DefaultLimit is the number of candidates of an address where the caller names
// none: its owner and two that can fail after one another.
const DefaultLimit = 3

// WideLimit is what [LimitFor] gives for large clusters, where several nodes may
// be away at once.
const WideLimit = 5

// LimitFor returns the number of candidates per address that suits a cluster of
// so many announcer nodes: [DefaultLimit] up to eight, [WideLimit] above.
func LimitFor(nodes int) int {
	if nodes > 8 {
		return WideLimit
	}
	return DefaultLimit
}

// Node is a node that may announce an address.
type Node struct {
	Name string
	// Zone is the preference: nodes of a lower one come first. Where all are
	// alike to the address, leave it 0.
	Zone int
}

// Load counts the addresses for which each node is the first candidate.
type Load map[string]int

// LoadOf counts the first places of the given candidates.
func LoadOf(assignments map[netip.Addr][]string) Load {
	load := Load{}
	for _, candidates := range assignments {
		if len(candidates) > 0 {
			load[candidates[0]]++
		}
	}
	return load
}

// Candidates returns the candidates of a new address, at most limit (0 means
// [DefaultLimit]): by zone, then by load, then by a hash of the name with the
// address, so that the addresses of one node do not all fall to the same next
// one. It does not change load; the caller adds one for the first. The cost is
// O(n log n) in the number of eligible nodes.
func Candidates(address netip.Addr, load Load, eligible []Node, limit int) []string {
	order := slices.Clone(eligible)
	slices.SortFunc(order, func(a, b Node) int {
		return cmp.Or(
			cmp.Compare(a.Zone, b.Zone),
			cmp.Compare(load[a.Name], load[b.Name]),
			cmp.Compare(mix(address, a.Name), mix(address, b.Name)),
			cmp.Compare(a.Name, b.Name))
	})
	return head(order, nil, limit)
}

// Revise returns the candidates of an address that has some: those still
// eligible in their present order, then the others as [Candidates] has them, up
// to limit. The first stays first while it is eligible, whatever its zone and
// load. When the first is gone, the next takes its place, as it has already done
// by itself on the fast path.
func Revise(address netip.Addr, current []string, load Load, eligible []Node, limit int) []string {
	if limit <= 0 {
		limit = DefaultLimit
	}
	may := make(map[string]bool, len(eligible))
	for _, n := range eligible {
		may[n.Name] = true
	}
	kept := make([]string, 0, limit)
	for _, c := range current {
		if may[c] && len(kept) < limit {
			kept = append(kept, c)
			may[c] = false // a name given twice counts once
		}
	}
	if len(kept) == limit || len(kept) == len(eligible) {
		return kept
	}
	rest := slices.DeleteFunc(slices.Clone(eligible), func(n Node) bool { return !may[n.Name] })
	return append(kept, Candidates(address, load, rest, limit-len(kept))...)
}

// Place revises all assignments at once: every address gets candidates from the
// nodes that eligible returns for it. Addresses without an entry in current are
// new; entries of current that are not in addresses are dropped. The result
// depends only on the arguments. An address for which no node is eligible gets
// no candidates.
func Place(current map[netip.Addr][]string, addresses []netip.Addr, eligible func(netip.Addr) []Node, limit int) map[netip.Addr][]string {
	out := make(map[netip.Addr][]string, len(addresses))
	for _, a := range addresses {
		out[a] = nil
	}
	var homeless []netip.Addr
	load := Load{}
	order := slices.SortedFunc(maps.Keys(out), netip.Addr.Compare)
	for _, a := range order {
		if first := survivor(current[a], eligible(a)); first != "" {
			load[first]++
		} else {
			homeless = append(homeless, a)
		}
	}
	for _, a := range homeless {
		out[a] = Candidates(a, load, eligible(a), limit)
		if len(out[a]) > 0 {
			load[out[a][0]]++
		}
	}
	for _, a := range order {
		if out[a] == nil {
			out[a] = Revise(a, current[a], load, eligible(a), limit)
		}
	}
	return out
}

// survivor returns the first candidate that is still eligible, or "".
func survivor(current []string, eligible []Node) string {
	for _, c := range current {
		if slices.ContainsFunc(eligible, func(n Node) bool { return n.Name == c }) {
			return c
		}
	}
	return ""
}

// head returns the names of the first nodes, each once.
func head(order []Node, out []string, limit int) []string {
	if limit <= 0 {
		limit = DefaultLimit
	}
	for _, n := range order {
		if len(out) == limit {
			break
		}
		if !slices.Contains(out, n.Name) {
			out = append(out, n.Name)
		}
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
