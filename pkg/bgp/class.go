// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead-io/fairlead/pkg/bgp/community"
)

// defaultLocalPreference is what routers take where none is given.
const defaultLocalPreference = 100

// class is a number for all routes that are announced alike. Numbers are never used twice by one Speaker: while a
// route moves from one class to another, GoBGP compares what the peer was told under either.
type class uint32

// member is one Route of a prefix, without the prefix.
type member struct {
	Attributes
	peers []string
}

// key tells whether two members are alike.
func (m member) key() string {
	var b strings.Builder
	standard, large := split(m.Communities)
	fmt.Fprintf(&b, "%v %v %d %d", standard, large, m.Prepend, m.LinkBandwidth)
	if m.LocalPreference != nil {
		fmt.Fprintf(&b, " lp%d", *m.LocalPreference)
	}
	if m.MED != nil {
		fmt.Fprintf(&b, " med%d", *m.MED)
	}
	peers := slices.Clone(m.peers)
	slices.Sort(peers)
	fmt.Fprintf(&b, " %q;", slices.Compact(peers))
	return b.String()
}

// tells says whether the member is for the peer.
func (m member) tells(peer string) bool {
	return len(m.peers) == 0 || slices.Contains(m.peers, peer)
}

// classes gives numbers to classes and remembers what they mean.
type classes struct {
	last    class
	numbers map[string]class
	members map[class][]member
}

func newClasses() *classes {
	return &classes{numbers: map[string]class{}, members: map[class][]member{}}
}

// number returns the class of these members, a new one if they were never seen.
func (c *classes) number(members []member) class {
	// Many addresses may share one aggregate: the class must not change with their number.
	var key strings.Builder
	seen := map[string]bool{}
	members = slices.DeleteFunc(members, func(m member) bool {
		k := m.key()
		again := seen[k]
		seen[k] = true
		if !again {
			key.WriteString(k)
		}
		return again
	})
	if n, ok := c.numbers[key.String()]; ok {
		return n
	}
	c.last++
	c.numbers[key.String()] = c.last
	c.members[c.last] = members
	return c.last
}

// keep forgets all classes but those in use.
func (c *classes) keep(used map[class]bool) {
	maps.DeleteFunc(c.numbers, func(_ string, n class) bool { return !used[n] })
	maps.DeleteFunc(c.members, func(n class, _ []member) bool { return !used[n] })
}

// classify gives each prefix its class.
func (c *classes) classify(routes []Route) map[netip.Prefix]class {
	if len(routes) == 0 {
		return nil
	}
	sorted := slices.Clone(routes)
	slices.SortStableFunc(sorted, func(a, b Route) int {
		return cmp.Or(a.Prefix.Compare(b.Prefix), compareBools(a.Leaving, b.Leaving)) // an aggregate stays with what stays
	})
	out := make(map[netip.Prefix]class, len(routes))
	for first := 0; first < len(sorted); {
		end := first + 1
		for end < len(sorted) && sorted[end].Prefix == sorted[first].Prefix {
			end++
		}
		members := make([]member, 0, end-first)
		for _, r := range sorted[first:end] {
			members = append(members, member{r.Attributes, r.Peers})
		}
		out[sorted[first].Prefix] = c.number(members)
		first = end
	}
	return out
}

// compareBools puts what is not true first.
func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// told returns what a peer is told of a class; false if nothing.
func (c *classes) told(n class, peer string) (Attributes, bool) {
	for _, m := range c.members[n] {
		if m.tells(peer) {
			return m.Attributes, true
		}
	}
	return Attributes{}, false
}

// lastResort is the routes with those that leave, or all, as a node announces them that is about to give them up: by
// anybody else first (RFC 8326).
func lastResort(routes []Route, all bool) []Route {
	out := slices.Clone(routes)
	for i := range out {
		if !all && !out[i].Leaving {
			continue
		}
		lowest := uint32(0)
		out[i].LocalPreference = &lowest
		out[i].Communities = append(slices.Clone(out[i].Communities), community.GracefulShutdown())
	}
	return out
}

// split returns the standard and the large communities as text, sorted, each once.
func split(communities []community.Community) (standard, large []string) {
	for _, c := range communities {
		if c.Large {
			large = append(large, c.String())
		} else {
			standard = append(standard, c.String())
		}
	}
	slices.Sort(standard)
	slices.Sort(large)
	return slices.Compact(standard), slices.Compact(large)
}

// sortedKeys returns the keys in order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
