// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var addrs = cmp.Options{cmpopts.EquateComparable(netip.Addr{}), cmp.AllowUnexported(message{}, verdict{})}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	must(t, err)
	return b
}

func TestParseARP(t *testing.T) {
	const eth = "ffffffffffff 020000000001 0806 "
	a := MAC{2, 0, 0, 0, 0, 1}
	for _, c := range []struct {
		name, frame string
		want        message
		malformed   bool
	}{
		{
			name: "request", frame: eth + "0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000064",
			want: message{asks: addr("10.0.0.100"), claims: addr("10.0.0.1"), from: a, replyTo: addr("10.0.0.1")},
		},
		{
			name: "probe", frame: eth + "0001 0800 06 04 0001 020000000001 00000000 000000000000 0a000064",
			want: message{asks: addr("10.0.0.100"), from: a, replyTo: addr("0.0.0.0")},
		},
		{
			name: "reply", frame: eth + "0001 0800 06 04 0002 020000000001 0a000064 020000000002 0a000001",
			want: message{claims: addr("10.0.0.100"), from: a, replyTo: addr("10.0.0.100")},
		},
		{name: "cut off", frame: eth + "0001 0800 06 04 0001 020000000001 0a0000", malformed: true},
		{name: "sender of 5 address bytes", frame: eth + "0001 0800 06 05 0001 020000000001 0a00000100 000000000000 0a00006400", malformed: true},
		{name: "broadcast sender", frame: eth + "0001 0800 06 04 0001 ffffffffffff 0a000001 000000000000 0a000064", malformed: true},
		{name: "RARP operation", frame: eth + "0001 0800 06 04 0003 020000000001 0a000001 000000000000 0a000064", malformed: true},
		{name: "no header", frame: "ffff", malformed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseARP(unhex(t, c.frame))
			if errors.Is(err, errMalformed) != c.malformed {
				t.Fatalf("error %v, malformed %v", err, c.malformed)
			}
			if diff := cmp.Diff(c.want, got, addrs); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What one family builds, it also reads.
func TestBuiltFramesParse(t *testing.T) {
	own, asker := MAC{2, 0, 0, 0, 0, 1}, MAC{2, 0, 0, 0, 0, 2}
	for _, c := range []struct{ name, vip, client string }{
		{"ARP", "10.0.0.100", "10.0.0.1"},
		{"NDP", "fd00::100", "fd00::1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, vip := familyOf(addr(c.vip)), addr(c.vip)
			frame, err := f.probe(vip, own)
			must(t, err)
			got, err := f.parse(frame)
			must(t, err)
			if !got.probing() || got.asks != vip || got.claims.IsValid() {
				t.Errorf("probe reads as %+v", got)
			}
			frame, err = f.announce(vip, own, FormReply)
			must(t, err)
			if got, err = f.parse(frame); err != nil || got.claims != vip || got.from != own {
				t.Errorf("announcement reads as %+v, %v", got, err)
			}
			frame, err = f.reply(message{asks: vip, claims: addr(c.client), from: asker, replyTo: addr(c.client)}, own)
			must(t, err)
			if got, err = f.parse(frame); err != nil || got.claims != vip || got.from != own {
				t.Errorf("reply reads as %+v, %v", got, err)
			}
			if MAC(frame[:6]) != asker {
				t.Errorf("reply goes to %v, want the asker", MAC(frame[:6]))
			}
		})
	}
}

func TestParseNDPRefusesWhatDidNotStartOnTheLink(t *testing.T) {
	frame, err := ndpProbe(addr("fd00::100"), MAC{2, 0, 0, 0, 0, 1})
	must(t, err)
	frame[ethernetHeader+7] = 254 // hop limit
	if _, err := parseNDP(frame); !errors.Is(err, errMalformed) {
		t.Errorf("error %v, want malformed", err)
	}
}

func TestAnsweringDADGoesToAllNodes(t *testing.T) {
	frame, err := ndpReply(message{asks: addr("fd00::100"), from: MAC{2, 0, 0, 0, 0, 2}, replyTo: netip.IPv6Unspecified()}, MAC{2, 0, 0, 0, 0, 1})
	must(t, err)
	if got := MAC(frame[:6]); got != (MAC{0x33, 0x33, 0, 0, 0, 1}) {
		t.Errorf("sent to %v", got)
	}
	if frame[ethernetHeader+ipv6Header+4]&0x40 != 0 {
		t.Error("solicited flag set")
	}
}

func FuzzParseARP(f *testing.F) { fuzzFrames(f, arpFamily(), "10.0.0.100") }
func FuzzParseNDP(f *testing.F) { fuzzFrames(f, ndpFamily(), "fd00::100") }

// fuzzFrames checks that whatever is read can be judged and answered, and that
// nothing but malformed input is refused.
func fuzzFrames(f *testing.F, fam family, vip string) {
	own := MAC{2, 0, 0, 0, 0, 1}
	for _, build := range []func() ([]byte, error){
		func() ([]byte, error) { return fam.probe(addr(vip), own) },
		func() ([]byte, error) { return fam.announce(addr(vip), own, FormReply) },
	} {
		frame, err := build()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	always := func(netip.Addr) bool { return true }
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := fam.parse(frame)
		if err != nil {
			if !errors.Is(err, errMalformed) {
				t.Fatal(err)
			}
			return
		}
		if !m.from.unicast() {
			t.Fatalf("sender %v", m.from)
		}
		if judge(m, stranger, always, always).reply {
			if _, err := fam.reply(m, own); err != nil {
				t.Fatalf("%+v cannot be answered: %v", m, err)
			}
		}
	})
}

// What a frame costs between the socket's two system calls.
func BenchmarkAnswer(b *testing.B) {
	held := map[netip.Addr]*entry{}
	for i := range 10_000 {
		held[netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})] = &entry{}
	}
	p := &port{held: held}
	frame, err := arpFrame(1, MAC{2, 0, 0, 0, 0, 2}, addr("10.0.0.1"), MAC{}, addr("10.1.3.7"), broadcast())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m, err := parseARP(frame)
		if err != nil || !judge(m, stranger, p.holds, p.probes).reply {
			b.Fatal(err)
		}
		if _, err := arpReply(m, MAC{2, 0, 0, 0, 0, 1}); err != nil {
			b.Fatal(err)
		}
	}
}
