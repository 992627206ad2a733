// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
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

func everywhere(all []Node) func(netip.Addr) []Node {
	return func(netip.Addr) []Node { return all }
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
		{"lowered limit", []string{"a", "b", "c"}, nodes("a", "b", "c"), 2, []string{"a", "b"}},
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

func TestCandidatesPreferZoneThenLoad(t *testing.T) {
	eligible := []Node{{"busy", 0}, {"far", 1}, {"idle", 0}}
	got := Candidates(addr, Load{"busy": 2, "idle": 1}, eligible, 0)
	if diff := cmp.Diff([]string{"idle", "busy", "far"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := Candidates(addr, nil, nodes("a", "b", "c", "d", "e"), 0); len(got) != DefaultLimit {
		t.Errorf("default limit: got %v", got)
	}
}

// TestSecondPlacesSpread: when one node dies, its addresses do not all fall to
// the same other node.
func TestSecondPlacesSpread(t *testing.T) {
	placed := Place(nil, addresses(1000), everywhere(nodes("a", "b", "c", "d", "e")), 0)
	second := map[string]int{}
	for _, c := range placed {
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

func checkBalance(t *rapid.T, placed map[netip.Addr][]string, all []Node) {
	load := LoadOf(placed)
	var counts []int
	for _, n := range all {
		counts = append(counts, load[n.Name])
	}
	if slices.Max(counts)-slices.Min(counts) > 1 {
		t.Fatalf("first places %v are not balanced", load)
	}
}

func TestNewAddressesAreBalanced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawNodes(t, "nodes")
		n := rapid.IntRange(0, 60).Draw(t, "addresses")
		m := rapid.IntRange(n, 80).Draw(t, "later")
		first := Place(nil, addresses(n), everywhere(all), 0)
		checkBalance(t, first, all)
		checkBalance(t, Place(first, addresses(m), everywhere(all), 0), all)
	})
}

func TestOneByOneIsBalanced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawNodes(t, "nodes")
		load, placed := Load{}, map[netip.Addr][]string{}
		for _, a := range addresses(rapid.IntRange(0, 60).Draw(t, "addresses")) {
			placed[a] = Candidates(a, load, all, 0)
			load[placed[a][0]]++
		}
		checkBalance(t, placed, all)
	})
}

// TestOnlyTheirOwnMoves: from one set of nodes to another, a first candidate that
// is still there stays first, and the order of those that stay is kept.
func TestOnlyTheirOwnMoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := drawNodes(t, "before"), drawNodes(t, "after")
		limit := rapid.IntRange(1, 6).Draw(t, "limit")
		all := addresses(rapid.IntRange(1, 60).Draw(t, "addresses"))
		old := Place(nil, all, everywhere(before), limit)
		now := Place(old, all, everywhere(after), limit)
		for _, a := range all {
			kept := slices.DeleteFunc(slices.Clone(old[a]), func(c string) bool { return !slices.Contains(after, Node{Name: c}) })
			if len(now[a]) != min(limit, len(after)) {
				t.Fatalf("%s has %d candidates, want %d", a, len(now[a]), min(limit, len(after)))
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

// TestOnlyEligible: each address is placed on the nodes that may have it, by
// preference of zone, and the result does not depend on any order of input.
func TestOnlyEligible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := addresses(rapid.IntRange(1, 20).Draw(t, "addresses"))
		may := map[netip.Addr][]Node{}
		for _, a := range all {
			for _, n := range drawNodes(t, a.String()) {
				may[a] = append(may[a], Node{n.Name, rapid.IntRange(0, 2).Draw(t, "zone")})
			}
		}
		got := Place(nil, all, func(a netip.Addr) []Node { return may[a] }, 4)
		slices.Reverse(all)
		again := Place(nil, all, func(a netip.Addr) []Node {
			out := slices.Clone(may[a])
			slices.Reverse(out)
			return out
		}, 4)
		if diff := cmp.Diff(got, again, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Fatalf("order of input matters:\n%s", diff)
		}
		for a, candidates := range got {
			zone := -1
			for _, c := range candidates {
				i := slices.IndexFunc(may[a], func(n Node) bool { return n.Name == c })
				if i < 0 {
					t.Fatalf("%s is placed on %s, which is not eligible", a, c)
				}
				if may[a][i].Zone < zone {
					t.Fatalf("%s has %s after a node of a farther zone", a, c)
				}
				zone = may[a][i].Zone
			}
		}
	})
}

func BenchmarkCandidates(b *testing.B) {
	all := nodes(names(100)...)
	load := Load{}
	for b.Loop() {
		load[Candidates(addr, load, all, 5)[0]]++
	}
}
