// SPDX-License-Identifier: Apache-2.0

package ipam

import "net/netip"

// special is a block whose addresses no Service can have.
type special struct{ block, is string }

// specials returns the blocks of the registries of special-purpose addresses (RFC 6890) that no interface can be reached
// by from other hosts, or that are no host's.
func specials() []special {
	return []special{
		{"0.0.0.0/8", "addresses of this host or network (RFC 1122)"},
		{"127.0.0.0/8", "loopback addresses"},
		{"169.254.0.0/16", "link-local addresses"},
		{"224.0.0.0/4", "multicast addresses"},
		{"255.255.255.255/32", "the broadcast address"},
		{"::/128", "the unspecified address"},
		{"::1/128", "the loopback address"},
		{"fe80::/10", "link-local addresses"},
		{"ff00::/8", "multicast addresses"},
	}
}

// Special returns the first part of a range that no Service can have, and what that is; what is "" where there is none.
func (r Range) Special() (part Range, what string) {
	for _, s := range specials() {
		if part, ok := r.Intersect(RangeOfPrefix(netip.MustParsePrefix(s.block))); ok {
			return part, s.is
		}
	}
	return Range{}, ""
}
