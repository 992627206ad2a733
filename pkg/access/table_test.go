// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

// content returns what is in the table as the program nft reads it, without the numbers of counters; nothing if there is no
// table. The lines are sorted: nft shows first what was added first.
func (w *wire) content() (lines []string) {
	w.t.Helper()
	w.in(w.node, func() {
		out, err := exec.Command("nft", "--stateless", "list", "ruleset").CombinedOutput()
		if err != nil {
			w.t.Fatalf("%v: %s", err, out)
		}
		for line := range strings.Lines(string(out)) {
			lines = append(lines, strings.TrimSpace(line))
		}
	})
	slices.Sort(lines)
	return lines
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
	changed, anew := lone(t), lone(t)
	rapid.Check(t, func(t *rapid.T) {
		table := New()
		var entries []Entry
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			entries = drawEntries(t)
			changed.in(changed.node, func() {
				if err := table.Apply(context.Background(), entries); err != nil {
					t.Fatalf("applying %+v: %v", entries, err)
				}
				if intact, err := table.Intact(context.Background()); err != nil || !intact {
					t.Fatalf("intact %v, %v, after applying %+v", intact, err, entries)
				}
			})
		}
		anew.apply(New(), entries...)
		if diff := cmp.Diff(anew.content(), changed.content()); diff != "" {
			t.Fatalf("after changes to %+v the table is another than a new one: %s", entries, diff)
		}
	})
}

func TestRulesOfAnEntry(t *testing.T) {
	w := lone(t)
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	ports := []Port{{TCP, 80}, {UDP, 53}, {SCTP, 5060}}
	for _, tc := range []struct {
		name  string
		entry Entry
		want  []string // lines of nft, where D is the digest of the entry's name
	}{
		{
			"allowed, of both families, overlapping",
			Entry{Address: four, Ports: ports, Limited: true, Allowed: prefixes("10.1.0.0/16", "10.0.0.0/8", "2001:db8::/32")},
			[]string{"elements = { 10.0.0.0/8 }", `ip saddr != @allowed-D counter name "refused-D" drop`},
		},
		{
			"adjacent prefixes become one",
			Entry{Address: four, Ports: ports, Limited: true, Allowed: prefixes("192.0.2.0/25", "192.0.2.128/25", "198.51.100.7/24")},
			[]string{"elements = { 192.0.2.0/24, 198.51.100.0/24 }", `ip saddr != @allowed-D counter name "refused-D" drop`},
		},
		{
			"adjacent prefixes that are none together",
			Entry{Address: four, Ports: ports, Denied: prefixes("10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/32", "255.255.255.254/31")},
			[]string{"elements = { 10.0.0.1-10.0.0.4, 255.255.255.254/31 }", `ip saddr @denied-D counter name "refused-D" drop`},
		},
		{
			"denied beside allowed",
			Entry{Address: six, Ports: ports, Limited: true, Allowed: prefixes("2001:db8::/32"), Denied: prefixes("2001:db8:1::/48")},
			[]string{
				"elements = { 2001:db8:1::/48 }", "elements = { 2001:db8::/32 }",
				`ip6 saddr @denied-D counter name "refused-D" drop`, `ip6 saddr != @allowed-D counter name "refused-D" drop`,
			},
		},
		{
			"nobody of this family is allowed",
			Entry{Address: six, Ports: ports, Limited: true, Allowed: prefixes("10.0.0.0/8")},
			[]string{`counter name "refused-D" drop`},
		},
		{"not limited", Entry{Address: four, Ports: ports, Allowed: prefixes("10.0.0.0/8")}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.entry.Name = "10.0.0.1 shop/web"
			w.apply(New(), tc.entry)
			var got []string
			for _, line := range w.content() {
				line = strings.ReplaceAll(line, digest(tc.entry.Name), "D")
				rule, commented := strings.CutSuffix(line, ` comment "10.0.0.1 shop/web"`)
				if commented || strings.HasPrefix(line, "elements") && !strings.Contains(line, "goto") {
					got = append(got, rule)
				}
			}
			slices.Sort(tc.want)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if (w.content() == nil) != (tc.want == nil) {
				t.Error("a table without rules, or rules without a table")
			}
		})
	}
}

// headerSize is that of the header of every message of netfilter, struct nfgenmsg.
const headerSize = 4

// generation is how often the rules of the namespace were changed.
func (w *wire) generation() (id uint32) {
	w.t.Helper()
	w.in(w.node, func() {
		conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		defer conn.Close()
		answers, err := conn.Execute(netlink.Message{
			Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN, Flags: netlink.Request},
			Data:   make([]byte, headerSize),
		})
		if err != nil || len(answers) != 1 {
			w.t.Fatalf("%d answers, %v", len(answers), err)
		}
		attributes, err := netlink.NewAttributeDecoder(answers[0].Data[headerSize:])
		if err != nil {
			w.t.Fatal(err)
		}
		attributes.ByteOrder = binary.BigEndian
		for attributes.Next() {
			if attributes.Type() == unix.NFTA_GEN_ID {
				id = attributes.Uint32()
			}
		}
	})
	return id
}

func TestNothingIsWrittenWhereNothingChanges(t *testing.T) {
	w, table := lone(t), New()
	entries := []Entry{entry80(service4, prefixes(good4+"/32"), nil)}
	before := w.generation()
	w.apply(table, entries...)
	written := w.generation()
	w.apply(table, entries...)
	if after := w.generation(); written == before || after != written {
		t.Errorf("generation %d before, %d after the rules were written, %d after they were applied again", before, written, after)
	}
}

func TestTableThatIsGoneIsWrittenAgain(t *testing.T) {
	w, table := lone(t), New()
	entry := entry80(service4, prefixes(good4+"/32"), nil)
	w.apply(table, entry)
	whole := w.content()
	w.run(w.node, "nft delete table inet fairlead")
	w.in(w.node, func() {
		if intact, err := table.Intact(t.Context()); err != nil || intact {
			t.Errorf("a table that is gone is intact: %v, %v", intact, err)
		}
	})
	w.apply(table, entry)
	if diff := cmp.Diff(whole, w.content()); diff != "" {
		t.Errorf("applied again: %s", diff)
	}
}

// TestRefusedChangeChangesNothing: the kernel refuses a port of two entries, and with it everything that came with it.
func TestRefusedChangeChangesNothing(t *testing.T) {
	w, table := lone(t), New()
	first := entry80(service4, prefixes(good4+"/32"), nil)
	w.apply(table, first)
	whole := w.content()
	second := entry80(service4, nil, prefixes(bad4+"/32"))
	second.Name = "another"
	w.in(w.node, func() {
		if err := table.Apply(t.Context(), []Entry{second, entry80(service4, nil, prefixes("0.0.0.0/0"))}); err == nil {
			t.Error("two entries have the same port")
		}
	})
	if diff := cmp.Diff(whole, w.content()); diff != "" {
		t.Errorf("refused, and yet: %s", diff)
	}
	w.apply(table, second)
	fresh := lone(t)
	fresh.apply(New(), second)
	if diff := cmp.Diff(fresh.content(), w.content()); diff != "" {
		t.Errorf("after a refused change the next is another than in a new table: %s", diff)
	}
}

// TestSourcesCannotBeFlushed: while rules look into a set of sources, nobody can empty it.
func TestSourcesCannotBeFlushed(t *testing.T) {
	w := lone(t)
	entry := entry80(service4, nil, prefixes(bad4+"/32"))
	w.apply(New(), entry)
	w.run(w.node, "! nft flush set inet fairlead "+deniedName(entry.Name))
}

func TestUnknownProtocolIsRefused(t *testing.T) {
	w, table := lone(t), New()
	entry := entry80(service4, prefixes(good4+"/32"), nil)
	entry.Ports = []Port{{"icmp", 80}}
	w.in(w.node, func() {
		if err := table.Apply(t.Context(), []Entry{entry}); err == nil || !strings.Contains(err.Error(), `"icmp"`) {
			t.Errorf("protocol icmp: %v", err)
		}
	})
}

// TestLargeChangesAreTakenAtOnce: neither the buffers of a socket nor the size of a message limit a transaction.
func TestLargeChangesAreTakenAtOnce(t *testing.T) {
	w, table := lone(t), New()
	var many []netip.Prefix
	for i := range 4000 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 7), byte(i << 1), 0}), 24))
	}
	var entries []Entry
	for i := range 1000 {
		e := entry80(service4, prefixes(good4+"/32"), prefixes(bad4+"/32"))
		e.Name = fmt.Sprint("entry ", i)
		e.Ports = []Port{{TCP, uint16(i + 1)}, {UDP, uint16(i + 1)}}
		entries = append(entries, e)
	}
	entries[0].Allowed = many
	for number := range uint16(2000) {
		entries[0].Ports = append(entries[0].Ports, Port{SCTP, number})
	}
	before := w.generation()
	w.apply(table, entries...)
	if n := w.generation() - before; n != 1 {
		t.Errorf("%d transactions, want one", n)
	}
	w.in(w.node, func() {
		if intact, err := table.Intact(t.Context()); err != nil || !intact {
			t.Errorf("intact %v, %v", intact, err)
		}
		if refused, err := table.Refused(t.Context()); err != nil || len(refused) != len(entries) {
			t.Errorf("%d counters, %v, want %d", len(refused), err, len(entries))
		}
	})
	w.apply(table, entries[1])
	fresh := lone(t)
	fresh.apply(New(), entries[1])
	if diff := cmp.Diff(fresh.content(), w.content()); diff != "" {
		t.Errorf("after all but one are gone the table is another than a new one: %s", diff)
	}
}
