// SPDX-License-Identifier: Apache-2.0

package access

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"go4.org/netipx"
	"golang.org/x/sys/unix"
)

// intervals are the elements of a set that holds the prefixes, which are sorted and do not overlap. Each interval is two
// elements, its first address and the first one after it. Prefixes side by side are one interval: where one ends, no other
// may begin.
func intervals(prefixes []netip.Prefix) []nftables.SetElement {
	var out []nftables.SetElement
	var end netip.Addr
	for i, p := range prefixes {
		r := netipx.RangeOfPrefix(p)
		switch {
		case i == 0 && !r.From().IsUnspecified():
			// The program nft begins every set at the lowest address, and so expects what it reads.
			zero := netip.IPv6Unspecified()
			if r.From().Is4() {
				zero = netip.IPv4Unspecified()
			}
			out = append(out, nftables.SetElement{Key: zero.AsSlice(), IntervalEnd: true})
		case i > 0 && r.From() == end:
			out = out[:len(out)-1]
			end = r.To().Next()
			out = closed(out, end)
			continue
		}
		end = r.To().Next()
		out = closed(append(out, nftables.SetElement{Key: r.From().AsSlice()}), end)
	}
	return out
}

// closed ends an interval, if it ends before the last address there is.
func closed(elements []nftables.SetElement, end netip.Addr) []nftables.SetElement {
	if !end.IsValid() {
		return elements
	}
	return append(elements, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
}

// ways are the elements of a map that lead from ports of the entry's address to its chain. Each part of a key fills
// whole registers of 4 bytes.
func ways(e Entry, ports []Port) ([]nftables.SetElement, error) {
	var out []nftables.SetElement
	for _, p := range ports {
		number, err := p.Protocol.number()
		if err != nil {
			return nil, fmt.Errorf("access entry %q: %w", e.Name, err)
		}
		key := append(e.Address.AsSlice(), number, 0, 0, 0)
		key = append(binary.BigEndian.AppendUint16(key, p.Number), 0, 0)
		out = append(out, nftables.SetElement{Key: key, VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainName(e.Name)}})
	}
	return out, nil
}

// number is the protocol's in the IP header.
func (p Protocol) number() (byte, error) {
	switch p {
	case TCP:
		return unix.IPPROTO_TCP, nil
	case UDP:
		return unix.IPPROTO_UDP, nil
	case SCTP:
		return unix.IPPROTO_SCTP, nil
	default:
		return 0, fmt.Errorf("protocol %q is none of %s, %s, %s", string(p), TCP, UDP, SCTP)
	}
}
