// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/fairlead-io/fairlead/pkg/ipam"
)

func mustRange(t testing.TB, text string) ipam.Range {
	t.Helper()
	r, err := ipam.ParseRange(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustRanges(t testing.TB, texts ...string) []ipam.Range {
	t.Helper()
	var ranges []ipam.Range
	for _, text := range texts {
		ranges = append(ranges, mustRange(t, text))
	}
	return ranges
}

func ip(text string) netip.Addr { return netip.MustParseAddr(text) }

func TestParseRange(t *testing.T) {
	for _, tc := range []struct{ name, text, first, last, shown, size string }{
		{"first-last", "10.0.0.100-10.0.0.150", "10.0.0.100", "10.0.0.150", "10.0.0.100-10.0.0.150", "51"},
		{"blanks", " 10.0.0.1 - 10.0.0.2 ", "10.0.0.1", "10.0.0.2", "10.0.0.1-10.0.0.2", "2"},
		{"CIDR", "10.1.0.0/24", "10.1.0.0", "10.1.0.255", "10.1.0.0/24", "256"},
		{"aligned first-last", "10.1.0.0-10.1.0.255", "10.1.0.0", "10.1.0.255", "10.1.0.0/24", "256"},
		{"one address", "10.0.0.7", "10.0.0.7", "10.0.0.7", "10.0.0.7", "1"},
		{"one IPv6 address", "fd00::7/128", "fd00::7", "fd00::7", "fd00::7", "1"},
		{"all of IPv4", "0.0.0.0/0", "0.0.0.0", "255.255.255.255", "0.0.0.0/0", "4294967296"},
		{"IPv6 /112", "fd00:10::/112", "fd00:10::", "fd00:10::ffff", "fd00:10::/112", "65536"},
		{
			"below 2^63 is exact", "fd00::1-fd00::7fff:ffff:ffff:ffff", "fd00::1", "fd00::7fff:ffff:ffff:ffff",
			"fd00::1-fd00::7fff:ffff:ffff:ffff", "9223372036854775807",
		},
		{"2^63", "fd00::/65", "fd00::", "fd00::7fff:ffff:ffff:ffff", "fd00::/65", "2^63"},
		{"IPv6 /64", "fd00::/64", "fd00::", "fd00::ffff:ffff:ffff:ffff", "fd00::/64", "2^64"},
		{
			"not a power of two", "fd00::1-fd00::ffff:ffff:ffff:ffff", "fd00::1", "fd00::ffff:ffff:ffff:ffff",
			"fd00::1-fd00::ffff:ffff:ffff:ffff", "1.8e19",
		},
		{"all of IPv6", "::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0", "2^128"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := mustRange(t, tc.text)
			first, last := ip(tc.first), ip(tc.last)
			if !r.Contains(first) || !r.Contains(last) || r.Contains(first.Prev()) || r.Contains(last.Next()) {
				t.Errorf("got %s, want %s to %s", r, first, last)
			}
			if r.String() != tc.shown || r.Size().String() != tc.size {
				t.Errorf("shown as %q of size %q, want %q of size %q", r, r.Size(), tc.shown, tc.size)
			}
		})
	}
}

func TestParseRangeRefuses(t *testing.T) {
	for _, tc := range []struct{ name, text, expected string }{
		{"empty", "", "no IP address"},
		{"word", "office", "no IP address"},
		{"reversed", "10.0.0.9-10.0.0.1", `expected the lower address first, "10.0.0.1-10.0.0.9"`},
		{"mixed families", "10.0.0.1-fd00::1", "expected one family"},
		{"last octet only", "10.0.0.1-50", "last address"},
		{"open end", "10.0.0.1-", "last address"},
		{"host bits", "10.1.0.7/24", "expected 10.1.0.0/24 for the network or 10.1.0.7 for the one address"},
		{"prefix too long", "10.1.0.0/33", "from 0 to 32"},
		{"prefix too long for IPv6", "fd00::/129", "from 0 to 128"},
		{"zone", "fe80::1%eth0", "expected fe80::1"},
		{"mapped", "::ffff:10.0.0.1", "expected 10.0.0.1"},
		{"mapped CIDR", "::ffff:10.0.0.0/120", "expected 10.0.0.0"},
		{"leading zero", "10.0.0.01", "no IP address"},
		{"two dashes", "10.0.0.1-10.0.0.2-10.0.0.3", "last address"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ipam.ParseRange(tc.text)
			if !errors.Is(err, ipam.ErrBadRange) {
				t.Fatalf("got %v, want ErrBadRange", err)
			}
			if !strings.Contains(err.Error(), tc.expected) || !strings.Contains(err.Error(), `"`+tc.text+`"`) {
				t.Errorf("error %q: want the value and %q in it", err, tc.expected)
			}
		})
	}
}

func FuzzParseRange(f *testing.F) {
	for _, text := range []string{"10.0.0.1-10.0.0.9", "10.0.0.0/8", "fd00::/64", "::/0", "1.2.3.4", "fe80::1%e-x", "/", "-"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ipam.ParseRange(text)
		if err != nil {
			if !errors.Is(err, ipam.ErrBadRange) || !r.IsEmpty() {
				t.Fatalf("got range %q and error %v", r, err)
			}
			return
		}
		if r.Size().IsZero() {
			t.Fatalf("%q gave an empty range %s", text, r)
		}
		if again := mustRange(t, r.String()); again != r {
			t.Fatalf("%q: %q reads back as %q", text, r, again)
		}
	})
}

func TestObjectName(t *testing.T) {
	for addr, name := range map[string]string{
		"10.0.0.100": "10.0.0.100",
		"fd00:10::7": "fd00-10--7",
		"fd00:10::":  "fd00-10--0",
		"::1":        "0--1",
		"::":         "0--0",
	} {
		if got := ipam.ObjectName(ip(addr)); got != name {
			t.Errorf("ObjectName(%s) = %q, want %q", addr, got, name)
		}
		if got, err := ipam.ParseObjectName(name); err != nil || got != ip(addr) {
			t.Errorf("ParseObjectName(%q) = %v, %v, want %s", name, got, err, addr)
		}
	}
	for _, name := range []string{"office", "fd00-10-0-0-0-0-0-7", "fd00-10--", "FD00--1"} {
		if _, err := ipam.ParseObjectName(name); err == nil {
			t.Errorf("ParseObjectName(%q) gave no error", name)
		}
	}
}
