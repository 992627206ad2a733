// SPDX-License-Identifier: Apache-2.0

// Package ipam decides which address a Service gets.
//
// It owns range arithmetic (Range, RangeSet), the index of what is taken and
// what is free (Index), the choice of a pool (Select), and the rules by which
// several Services share one address (Share). All of it is values in, values
// out: there is no lock, no clock and no client here. Time comes in as an
// argument; a caller that uses one Index from several goroutines serialises
// its calls.
//
// The package must not know how an address is announced, nor any Kubernetes
// type. The claim itself, which is the creation of a VirtualIP object, is made
// by the caller: the Index proposes, the API server's unique names decide.
//
// # Why the Index is quick
//
// A pool may hold 11 addresses or 2^64, and may have holes (exclusions, edges,
// shares lost to an older pool). What is unavailable is kept per pool as spans
// of consecutive addresses in a B-tree, where "consecutive" means "the next one
// in this pool": two spans on both sides of a hole are one span. So the lowest
// free address at or above a bound is found with one look-up, whatever the size
// of the pool and however many holes it has, and memory grows with what is
// taken only. A bitmap would have to be laid out over the addresses of the
// pool, holes included, and needs a hierarchy to answer for a /64.
package ipam

import (
	"fmt"
	"net/netip"
	"strings"
)

// Family is an IP family: IPv4 or IPv6. The zero Family is neither.
type Family uint8

// The families, by their version numbers.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// FamilyOf returns the family of addr, and the zero Family for an invalid one.
// An IPv4-mapped IPv6 address is IPv6.
func FamilyOf(addr netip.Addr) Family {
	switch {
	case addr.Is4():
		return IPv4
	case addr.Is6():
		return IPv6
	}
	return 0
}

// String returns "IPv4", "IPv6" or "no family".
func (f Family) String() string {
	switch f {
	case IPv4:
		return "IPv4"
	case IPv6:
		return "IPv6"
	}
	return "no family"
}

// Range returns the range of all addresses of the family, and the empty Range
// for the zero Family.
func (f Family) Range() Range {
	switch f {
	case IPv4:
		return Range{first: netip.AddrFrom4([4]byte{}), last: netip.AddrFrom4([4]byte{255, 255, 255, 255})}
	case IPv6:
		return RangeOfPrefix(netip.PrefixFrom(netip.IPv6Unspecified(), 0))
	}
	return Range{}
}

// ObjectName returns the name of the VirtualIP object of addr: the address in
// its shortest form (RFC 5952), with ":" written "-". Where that form begins or
// ends with a colon, which an object's name must not, the zero is written:
// "fd00::" is "fd00--0" and "::1" is "0--1".
func ObjectName(addr netip.Addr) string {
	name := strings.ReplaceAll(addr.String(), ":", "-")
	if strings.HasPrefix(name, "-") {
		name = "0" + name
	}
	if strings.HasSuffix(name, "-") {
		name += "0"
	}
	return name
}

// ParseObjectName returns the address whose VirtualIP is called name. Only the
// one spelling that ObjectName gives is accepted, so that an address has one
// name.
func ParseObjectName(name string) (netip.Addr, error) {
	text := name
	if !strings.Contains(name, ".") {
		text = strings.ReplaceAll(name, "-", ":")
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("name %q: expected an IP address with \":\" written \"-\": %w", name, err)
	}
	if want := ObjectName(addr); want != name {
		return netip.Addr{}, fmt.Errorf("name %q: the name of address %s is %q", name, addr, want)
	}
	return addr, nil
}
