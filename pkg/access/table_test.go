// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
	"sigs.k8s.io/knftables"
)

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

// faked returns a table over the library's own model of nftables.
func faked() (*Table, *knftables.Fake) {
	fake := knftables.NewFake(knftables.InetFamily, tableName)
	return &Table{open: func() (knftables.Interface, error) { return fake, nil }}, fake
}

func drawEntries(t *rapid.T) []Entry {
	sources := prefixes("10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/25", "192.0.2.128/25", "2001:db8::/32", "0.0.0.0/0")
	var out []Entry
	taken := map[string]bool{}
	for range rapid.IntRange(0, 4).Draw(t, "entries") {
		e := Entry{
			Name:    fmt.Sprintf("entry %d", rapid.IntRange(0, 5).Draw(t, "name")),
			Address: rapid.SampledFrom([]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}).Draw(t, "address"),
			Limited: rapid.Bool().Draw(t, "limited"),
			Allowed: rapid.SliceOfN(rapid.SampledFrom(sources), 0, 3).Draw(t, "allowed"),
			Denied:  rapid.SliceOfN(rapid.SampledFrom(sources), 0, 3).Draw(t, "denied"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "ports") {
			p := Port{rapid.SampledFrom([]Protocol{TCP, UDP}).Draw(t, "protocol"), uint16(rapid.IntRange(1, 4).Draw(t, "port"))}
			if key := fmt.Sprint(e.Address, p); !taken[key] {
				taken[key] = true
				e.Ports = append(e.Ports, p)
			}
		}
		if !slices.ContainsFunc(out, func(o Entry) bool { return o.Name == e.Name }) {
			out = append(out, e)
		}
	}
	return out
}

// TestChangesLeadWhereANewTableIs: whatever was applied before, what is in the kernel depends on the entries alone.
func TestChangesLeadWhereANewTableIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, fake := faked()
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			entries := drawEntries(t)
			if err := table.Apply(context.Background(), entries); err != nil {
				t.Fatalf("applying %+v: %v", entries, err)
			}
			fresh, other := faked()
			if err := fresh.Apply(context.Background(), entries); err != nil {
				t.Fatalf("applying %+v to a new table: %v", entries, err)
			}
			if diff := cmp.Diff(unordered(other), unordered(fake)); diff != "" {
				t.Fatalf("after changes the table is another than a new one: %s", diff)
			}
			if intact, err := table.Intact(context.Background()); err != nil || !intact {
				t.Fatalf("intact %v, %v, with %s", intact, err, fake.Dump())
			}
		}
	})
}

// unordered returns what is in a table; elements of maps have no order.
func unordered(fake *knftables.Fake) []string {
	lines := strings.Split(fake.Dump(), "\n")
	slices.Sort(lines)
	return lines
}

func TestRulesOfAnEntry(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	ports := []Port{{TCP, 80}}
	for _, tc := range []struct {
		name  string
		entry Entry
		want  []string
	}{
		{
			"allowed, of both families, overlapping",
			Entry{Address: four, Ports: ports, Limited: true, Allowed: prefixes("10.1.0.0/16", "10.0.0.0/8", "2001:db8::/32")},
			[]string{"ip saddr != { 10.0.0.0/8 } counter name C drop"},
		},
		{
			"adjacent prefixes become one",
			Entry{Address: four, Ports: ports, Limited: true, Allowed: prefixes("192.0.2.0/25", "192.0.2.128/25", "198.51.100.7/24")},
			[]string{"ip saddr != { 192.0.2.0/24, 198.51.100.0/24 } counter name C drop"},
		},
		{
			"denied beside allowed",
			Entry{Address: six, Ports: ports, Limited: true, Allowed: prefixes("2001:db8::/32"), Denied: prefixes("2001:db8:1::/48")},
			[]string{"ip6 saddr { 2001:db8:1::/48 } counter name C drop", "ip6 saddr != { 2001:db8::/32 } counter name C drop"},
		},
		{
			"nobody of this family is allowed",
			Entry{Address: six, Ports: ports, Limited: true, Allowed: prefixes("10.0.0.0/8")},
			[]string{"counter name C drop"},
		},
		{"not limited", Entry{Address: four, Ports: ports, Allowed: prefixes("10.0.0.0/8")}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, err := tc.entry.normal()
			if err != nil {
				t.Fatal(err)
			}
			want := tc.want
			for i := range want {
				want[i] = strings.Replace(want[i], "name C", "name "+counterName(""), 1)
			}
			if diff := cmp.Diff(want, entryRules(n)); diff != "" {
				t.Error(diff)
			}
			if n.idle() != (want == nil) {
				t.Errorf("idle is %v", n.idle())
			}
		})
	}
}

func TestNothingIsWrittenWhereNothingChanges(t *testing.T) {
	table, fake := faked()
	entries := []Entry{{Name: "a", Address: netip.MustParseAddr("192.0.2.1"), Ports: []Port{{TCP, 80}}, Limited: true}}
	for range 2 {
		if err := table.Apply(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
	}
	if n := fake.LastTransaction.NumOperations(); n < 5 {
		t.Errorf("the last transaction had %d operations: the second Apply, which changes nothing, has run one", n)
	}
}

func TestTableThatIsGoneIsWrittenAgain(t *testing.T) {
	table, fake := faked()
	entries := []Entry{{Name: "a", Address: netip.MustParseAddr("192.0.2.1"), Ports: []Port{{TCP, 80}}, Limited: true}}
	if err := table.Apply(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	whole := fake.Dump()
	tx := fake.NewTransaction()
	tx.Delete(&knftables.Table{})
	if err := fake.Run(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if intact, err := table.Intact(t.Context()); err != nil || intact {
		t.Errorf("a table that is gone is intact: %v, %v", intact, err)
	}
	if err := table.Apply(t.Context(), entries); err != nil || fake.Dump() != whole {
		t.Errorf("applied again: %v, %s", err, fake.Dump())
	}
}

func TestMissingProgramIsTriedAgain(t *testing.T) {
	table, fake := faked()
	missing := errors.New("nft: not found")
	open := table.open
	table.open = func() (knftables.Interface, error) { return nil, missing }
	entries := []Entry{{Name: "a", Address: netip.MustParseAddr("192.0.2.1"), Ports: []Port{{TCP, 80}}, Limited: true}}
	if err := table.Apply(t.Context(), entries); !errors.Is(err, missing) {
		t.Errorf("without the program: %v", err)
	}
	table.open = open
	if err := table.Apply(t.Context(), entries); err != nil || fake.Table == nil {
		t.Errorf("with the program: %v", err)
	}
}
