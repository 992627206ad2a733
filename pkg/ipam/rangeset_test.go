// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/fairlead-io/fairlead/pkg/ipam"
)

// universe is the addresses that the property tests draw from: the end of IPv4
// and the beginning of IPv6, across several /24 edges.
func universe() []netip.Addr {
	var all []netip.Addr
	for addr := ip("255.255.252.250"); addr.IsValid(); addr = addr.Next() {
		all = append(all, addr)
	}
	for addr := ip("::"); addr.Less(ip("::20")); addr = addr.Next() {
		all = append(all, addr)
	}
	return all
}

func drawRanges(t *rapid.T, all []netip.Addr, name string) []ipam.Range {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) ipam.Range {
		i := rapid.IntRange(0, len(all)-1).Draw(t, "first")
		j := min(i+rapid.IntRange(0, 300).Draw(t, "more"), len(all)-1)
		for ipam.FamilyOf(all[i]) != ipam.FamilyOf(all[j]) {
			j--
		}
		return mustParse(all[i].String() + "-" + all[j].String())
	}), 0, 5).Draw(t, name)
}

func inAny(ranges []ipam.Range, addr netip.Addr) bool {
	for _, r := range ranges {
		if r.Contains(addr) {
			return true
		}
	}
	return false
}

func isEdge(addr netip.Addr) bool {
	return addr.Is4() && (addr.As4()[3] == 0 || addr.As4()[3] == 255)
}

func TestRangeSetAgainstEnumeration(t *testing.T) {
	all := universe()
	rapid.Check(t, func(t *rapid.T) {
		include, exclude := drawRanges(t, all, "include"), drawRanges(t, all, "exclude")
		avoid := rapid.Bool().Draw(t, "avoidEdges")
		set := ipam.NewRangeSet(include, exclude, avoid)
		want := map[netip.Addr]bool{}
		size := map[ipam.Family]uint64{}
		for _, addr := range all {
			if inAny(include, addr) && !inAny(exclude, addr) && (!avoid || !isEdge(addr)) {
				want[addr] = true
				size[ipam.FamilyOf(addr)]++
			}
		}
		for _, family := range []ipam.Family{ipam.IPv4, ipam.IPv6} {
			if got := set.Size(family); got != ipam.SizeFrom(size[family]) {
				t.Fatalf("%d %s addresses, counted as %s", size[family], family, got)
			}
		}
		var last netip.Addr
		for _, addr := range all {
			if set.Contains(addr) != want[addr] {
				t.Fatalf("Contains(%s) = %t", addr, set.Contains(addr))
			}
			if !want[addr] {
				continue
			}
			if last.IsValid() {
				checkNeighbours(t, set, last, addr)
			} else if first, _ := set.AtOrAbove(all[0]); first != addr {
				t.Fatalf("AtOrAbove(%s) = %s, want %s", all[0], first, addr)
			}
			last = addr
		}
		if last.IsValid() {
			if addr, ok := set.Next(last); ok {
				t.Fatalf("Next(%s) = %s after the last address", last, addr)
			}
		}
	})
}

func checkNeighbours(t *rapid.T, set ipam.RangeSet, below, above netip.Addr) {
	if got, ok := set.Next(below); !ok || got != above {
		t.Fatalf("Next(%s) = %s, want %s", below, got, above)
	}
	if got, ok := set.Prev(above); !ok || got != below {
		t.Fatalf("Prev(%s) = %s, want %s", above, got, below)
	}
}

func TestRangeSetOverlapsAgainstEnumeration(t *testing.T) {
	all := universe()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawRanges(t, all, "a"), drawRanges(t, all, "b")
		common := ipam.NewRangeSet(a, nil, false).Overlaps(ipam.NewRangeSet(b, nil, false))
		for _, addr := range all {
			if want := inAny(a, addr) && inAny(b, addr); inAny(common, addr) != want {
				t.Fatalf("%s in the overlap: %t, want %t", addr, !want, want)
			}
		}
	})
}

func TestRangeSetOfAnySize(t *testing.T) {
	edges := ipam.NewRangeSet(mustRanges(t, "10.0.0.0/8"), nil, true)
	if got := edges.Size(ipam.IPv4).String(); got != "16646144" { // 65536 * 254
		t.Errorf("a /8 without edges has %s addresses", got)
	}
	whole := ipam.NewRangeSet(mustRanges(t, "::/0", "0.0.0.0/0"), mustRanges(t, "::-fd00::1"), false)
	if next, ok := whole.Next(ip("255.255.255.255")); !ok || next != ip("fd00::2") {
		t.Errorf("after the last of IPv4 comes %s", next)
	}
	if !whole.Covers(mustRange(t, "fd00:10::/64")) || whole.Covers(mustRange(t, "fd00::/64")) {
		t.Error("Covers must look at the exclusion")
	}
}
