// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"
)

// Protocol is a transport protocol as nftables names it.
type Protocol string

// The protocols that have ports.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	SCTP Protocol = "sctp"
)

// Port of an address.
type Port struct {
	Protocol Protocol
	Number   uint16
}

// Entry limits who reaches some ports of an address.
type Entry struct {
	// Name says what the entry is for; no two entries may have the same.
	Name    string
	Address netip.Addr
	// Ports that the entry is about. No two entries may have the same port of the same address.
	Ports []Port
	// Allowed sources, if Limited: others are refused. Prefixes of the other family than the address's mean nothing.
	Limited bool
	Allowed []netip.Prefix
	// Denied sources are refused, also if they are allowed.
	Denied []netip.Prefix
}

// normal returns the entry in the one form that all entries of the same meaning have: sorted, without doubles or overlaps,
// and with prefixes of its own family only, as nftables wants them.
func (e Entry) normal() (Entry, error) {
	var err error
	e.Address = e.Address.Unmap()
	if !e.Limited {
		e.Allowed = nil
	}
	if e.Allowed, err = disjoint(e.Allowed, e.Address.Is4()); err != nil {
		return e, fmt.Errorf("access entry %q: allowed sources: %w", e.Name, err)
	}
	if e.Denied, err = disjoint(e.Denied, e.Address.Is4()); err != nil {
		return e, fmt.Errorf("access entry %q: denied sources: %w", e.Name, err)
	}
	e.Ports = slices.Clone(e.Ports)
	slices.SortFunc(e.Ports, func(a, b Port) int {
		return cmp.Or(strings.Compare(string(a.Protocol), string(b.Protocol)), cmp.Compare(a.Number, b.Number))
	})
	e.Ports = slices.Compact(e.Ports)
	return e, nil
}

// disjoint returns the fewest prefixes that hold the same addresses of one family.
func disjoint(prefixes []netip.Prefix, four bool) ([]netip.Prefix, error) {
	var b netipx.IPSetBuilder
	for _, p := range prefixes {
		if !p.IsValid() {
			return nil, fmt.Errorf("prefix %v is none", p)
		}
		if p.Addr().Is4() == four {
			b.AddPrefix(p)
		}
	}
	set, err := b.IPSet()
	if err != nil {
		return nil, err
	}
	return set.Prefixes(), nil
}

// same tells whether two entries in normal form have the same rules; names and ports are not compared.
func (e Entry) same(f Entry) bool {
	return e.Limited == f.Limited && slices.Equal(e.Allowed, f.Allowed) && slices.Equal(e.Denied, f.Denied)
}

// idle tells whether the entry refuses nobody.
func (e Entry) idle() bool { return !e.Limited && len(e.Denied) == 0 || len(e.Ports) == 0 }
