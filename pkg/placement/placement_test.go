// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func nodes(names ...string) []Node {
	var out []Node
	for _, n := range names {
		out = append(out, Node{Name: n})
	}
	return out
}

func addresses(n int) []netip.Addr {
	out := []netip.Addr{netip.MustParseAddr("10.0.0.0")}
	for len(out) < n {
		out = append(out, out[len(out)-1].Next())
	}
	return out[:n]
}

// placed is what has been placed so far, with the load that it makes.
type placed struct {
	candidates map[netip.Addr][]string
	load       Load
}

func newPlaced() *placed { return &placed{candidates: map[netip.Addr][]string{}, load: Load{}} }

// revise brings the candidates of one address after the other in line with who is eligible.
func (p *placed) revise(all []netip.Addr, eligible []Node, limit int) {
	for _, a := range all {
		before := p.candidates[a]
		now := Revise(a, before, p.load, eligible, limit)
		if len(before) > 0 {
			p.load[before[0]]--
		}
		if len(now) > 0 {
			p.load[now[0]]++
		}
		p.candidates[a] = now
	}
}

var addr = netip.MustParseAddr("10.0.0.100")

func TestRevise(t *testing.T) {
	for _, tc := range []struct {
		name     string
		current  []string
		eligible []Node
		limit    int
		want     []string
	}{
		{"nothing changed", []string{"b", "a"}, nodes("a", "b"), 3, []string{"b", "a"}},
		{"first gone, next moves up", []string{"b", "a", "c"}, nodes("a", "c"), 3, []string{"a", "c"}},
		{"returned node goes to the end", []string{"a", "c"}, nodes("a", "b", "c"), 3, []string{"a", "c", "b"}},
		{"nearer zone does not take the first place", []string{"far"}, []Node{{"far", 1}, {"near", 0}}, 3, []string{"far", "near"}},
		{"limit", []string{"a", "b"}, nodes("a", "b", "c", "d"), 2, []string{"a", "b"}},
		{"lowered limit", []string{"a", "b", "c"}, nodes("a", "b", "c", "d"), 2, []string{"a", "b", "c"}},
		{"one less than the lowered limit", []string{"a", "b", "c"}, nodes("a", "d", "e", "f"), 2, []string{"a", ordered(addr, nil, nodes("d", "e", "f"), 1)[0]}},
		{"more than any limit", []string{"a", "b", "c", "d", "e", "f"}, nodes("a", "b", "c", "d", "e", "f"), 3, []string{"a", "b", "c", "d", "e"}},
		{"none eligible", []string{"a"}, nil, 3, []string{}},
		{"all others", []string{"x", "y"}, nodes("a"), 3, []string{"a"}},
		{"doubled name", []string{"a", "a"}, nodes("a", "b"), 3, []string{"a", "b"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Revise(addr, tc.current, nil, tc.eligible, tc.limit)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNewAddressPrefersZoneThenLoad(t *testing.T) {
	eligible := []Node{{"busy", 0}, {"far", 1}, {"idle", 0}}
	got := Revise(addr, nil, Load{"busy": 2, "idle": 1}, eligible, 3)
	if diff := cmp.Diff([]string{"idle", "busy", "far"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSecondPlacesSpread: when one node dies, its addresses do not all fall to
// the same other node.
func TestSecondPlacesSpread(t *testing.T) {
	p := newPlaced()
	p.revise(addresses(1000), nodes("a", "b", "c", "d", "e"), 3)
	second := map[string]int{}
	for _, c := range p.candidates {
		if c[0] == "a" {
			second[c[1]]++
		}
	}
	for _, n := range []string{"b", "c", "d", "e"} {
		if second[n] < 25 { // 50 expected of 200
			t.Errorf("%s follows a for %d of 200 addresses: %v", n, second[n], second)
		}
	}
}

func names(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("n%02d", i))
	}
	return out
}

func drawNodes(t *rapid.T, label string) []Node {
	return nodes(rapid.SliceOfNDistinct(rapid.SampledFrom(names(12)), 1, 12, rapid.ID).Draw(t, label)...)
}

func (p *placed) checkBalance(t *rapid.T, all []Node) {
	var counts []int
	for _, n := range all {
		counts = append(counts, p.load[n.Name])
	}
	if slices.Max(counts)-slices.Min(counts) > 1 {
		t.Fatalf("first places %v are not balanced", p.load)
	}
}

func TestNewAddressesAreBalanced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawNodes(t, "nodes")
		p, n := newPlaced(), rapid.IntRange(0, 60).Draw(t, "addresses")
		p.revise(addresses(n), all, 3)
		p.checkBalance(t, all)
		p.revise(addresses(rapid.IntRange(n, 80).Draw(t, "later")), all, 3)
		p.checkBalance(t, all)
	})
}

// TestOnlyTheirOwnMoves: from one set of nodes to another, a first candidate that
// is still there stays first, and the order of those that stay is kept. Nobody who
// is still there has to go, also where the limit falls.
func TestOnlyTheirOwnMoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := drawNodes(t, "before"), drawNodes(t, "after")
		limits := rapid.IntRange(1, most)
		limit := limits.Draw(t, "limit")
		all := addresses(rapid.IntRange(1, 60).Draw(t, "addresses"))
		p := newPlaced()
		p.revise(all, before, limit)
		old := maps.Clone(p.candidates)
		limit = limits.Draw(t, "limit after")
		p.revise(all, after, limit)
		now := p.candidates
		for _, a := range all {
			kept := slices.DeleteFunc(slices.Clone(old[a]), func(c string) bool { return !slices.Contains(after, Node{Name: c}) })
			if want := max(len(kept), min(limit, len(after))); len(now[a]) != want {
				t.Fatalf("%s has %d candidates, want %d", a, len(now[a]), want)
			}
			if !slices.Equal(kept, now[a][:len(kept)]) {
				t.Fatalf("%s went from %v to %v, want it to begin with %v", a, old[a], now[a], kept)
			}
			seen := slices.Compact(slices.Sorted(slices.Values(now[a])))
			if len(seen) != len(now[a]) {
				t.Fatalf("%s names a node twice: %v", a, now[a])
			}
		}
	})
}

// TestOnlyEligible: an address is placed on the nodes that may have it, by
// preference of zone, and the result does not depend on the order of input.
func TestOnlyEligible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		load, zones := Load{}, map[string]int{}
		var eligible []Node
		for _, n := range drawNodes(t, "nodes") {
			zones[n.Name], load[n.Name] = rapid.IntRange(0, 2).Draw(t, "zone"), rapid.IntRange(0, 3).Draw(t, "load")
			eligible = append(eligible, Node{n.Name, zones[n.Name]})
		}
		got := Revise(addr, nil, load, eligible, 4)
		slices.Reverse(eligible)
		if diff := cmp.Diff(got, Revise(addr, nil, load, eligible, 4)); diff != "" {
			t.Fatalf("order of input matters:\n%s", diff)
		}
		zone := 0
		for _, c := range got {
			of, is := zones[c]
			if !is || of < zone {
				t.Fatalf("%v: %s is not eligible, or comes after a node of a farther zone (%v)", got, c, zones)
			}
			zone = of
		}
	})
}

func BenchmarkRevise(b *testing.B) {
	all := nodes(names(100)...)
	load := Load{}
	for b.Loop() {
		load[Revise(addr, nil, load, all, 5)[0]]++
	}
}
