// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"go4.org/netipx"
)

// ErrBadRange is what every error of ParseRange wraps.
var ErrBadRange = errors.New("bad address range")

// Range is the addresses of one family from a first to a last, both included. It
// can be as large as all of IPv6. The zero Range is empty. Ranges are made by
// ParseRange, RangeOfPrefix and SingleAddress, never reversed and never of mixed
// families; they can be compared with ==.
type Range struct {
	first, last netip.Addr
}

// ParseRange reads "first-last" (blanks around the dash are fine), a CIDR such
// as "10.1.0.0/24", or a single address.
//
// A CIDR whose address has host bits set, "10.1.0.7/24", is refused: half of
// those who write it mean the network and half mean the one address, and
// either guess hands out addresses that the others never meant to give.
// Zones and IPv4-mapped IPv6 addresses are refused as well.
func ParseRange(text string) (Range, error) {
	trimmed := strings.TrimSpace(text)
	var r Range
	var err error
	switch {
	case strings.Contains(trimmed, "/"):
		r, err = parseCIDR(trimmed)
	case strings.Contains(trimmed, "-"):
		before, after, _ := strings.Cut(trimmed, "-")
		r, err = parseFirstLast(strings.TrimSpace(before), strings.TrimSpace(after))
	default:
		var addr netip.Addr
		addr, err = parseAddr(trimmed)
		r = SingleAddress(addr)
	}
	if err != nil {
		return Range{}, fmt.Errorf("%w %q: %w", ErrBadRange, text, err)
	}
	return r, nil
}

// RangeOfPrefix returns all addresses of prefix, whose host bits are ignored.
// An invalid prefix gives the empty Range.
func RangeOfPrefix(prefix netip.Prefix) Range {
	r := netipx.RangeOfPrefix(prefix.Masked())
	return Range{first: r.From(), last: r.To()}
}

// SingleAddress returns the range that holds addr alone.
func SingleAddress(addr netip.Addr) Range { return Range{first: addr, last: addr} }

func parseCIDR(text string) (Range, error) {
	before, bits, _ := strings.Cut(text, "/")
	addr, err := parseAddr(before)
	if err != nil {
		return Range{}, err
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return Range{}, fmt.Errorf("prefix length %q: expected a number from 0 to %d", bits, addr.BitLen())
	}
	if masked := prefix.Masked(); masked != prefix {
		return Range{}, fmt.Errorf("host bits are set: expected %s for the network or %s for the one address",
			masked, addr)
	}
	return RangeOfPrefix(prefix), nil
}

func parseFirstLast(firstText, lastText string) (Range, error) {
	first, err := parseAddr(firstText)
	if err != nil {
		return Range{}, fmt.Errorf("first address: %w", err)
	}
	last, err := parseAddr(lastText)
	if err != nil {
		return Range{}, fmt.Errorf("last address: %w", err)
	}
	return firstLast(first, last)
}

func firstLast(first, last netip.Addr) (Range, error) {
	for _, addr := range []netip.Addr{first, last} {
		if err := checkAddr(addr); err != nil {
			return Range{}, err
		}
	}
	if FamilyOf(first) != FamilyOf(last) {
		return Range{}, fmt.Errorf("%s is %s and %s is %s: expected one family",
			first, FamilyOf(first), last, FamilyOf(last))
	}
	if last.Less(first) {
		return Range{}, fmt.Errorf("%s comes after %s: expected the lower address first, \"%s-%s\"",
			first, last, last, first)
	}
	return Range{first: first, last: last}, nil
}

// parseAddr leaves netip's own error out: it repeats the value, and names the
// parser's state more than the user's mistake.
func parseAddr(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is no IP address: expected \"first-last\", a CIDR or one address", text)
	}
	return addr, checkAddr(addr)
}

func checkAddr(addr netip.Addr) error {
	switch {
	case !addr.IsValid():
		return errors.New("the address is empty")
	case addr.Zone() != "":
		return fmt.Errorf("%s has a zone: expected %s", addr, addr.WithZone(""))
	case addr.Is4In6():
		return fmt.Errorf("%s is an IPv4-mapped address: expected %s", addr, addr.Unmap())
	}
	return nil
}

// IsEmpty reports whether r is the zero Range.
func (r Range) IsEmpty() bool { return !r.first.IsValid() }

// Family returns the family of the addresses of the range.
func (r Range) Family() Family { return FamilyOf(r.first) }

// Contains reports whether addr lies in the range. An address with a zone lies
// in none.
func (r Range) Contains(addr netip.Addr) bool {
	return !r.IsEmpty() && addr.Zone() == "" && r.first.Compare(addr) <= 0 && addr.Compare(r.last) <= 0
}

// Covers reports whether all of other lies in r. The empty Range lies in every
// range.
func (r Range) Covers(other Range) bool {
	return other.IsEmpty() || r.Contains(other.first) && r.Contains(other.last)
}

// Intersect returns what r and other have in common, and whether there is any.
func (r Range) Intersect(other Range) (Range, bool) {
	if r.IsEmpty() || other.IsEmpty() || r.Family() != other.Family() {
		return Range{}, false
	}
	common := r
	if common.first.Less(other.first) {
		common.first = other.first
	}
	if other.last.Less(common.last) {
		common.last = other.last
	}
	if common.last.Less(common.first) {
		return Range{}, false
	}
	return common, true
}

// Size returns the number of addresses in the range.
func (r Range) Size() Size {
	if r.IsEmpty() {
		return Size{}
	}
	return sizeOf(r.last).minus(sizeOf(r.first)).Plus(Size{lo: 1})
}

// String returns the range as ParseRange reads it, in the shortest form: an
// address, a CIDR, or "first-last".
func (r Range) String() string {
	if r.IsEmpty() {
		return ""
	}
	if r.first == r.last {
		return r.first.String()
	}
	if prefix, ok := netipx.IPRangeFrom(r.first, r.last).Prefix(); ok {
		return prefix.String()
	}
	return r.first.String() + "-" + r.last.String()
}
