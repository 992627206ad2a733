// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"errors"
	"net/netip"
)

// Frames that are no usable ARP or neighbour discovery message are ordinary
// input on a shared segment. The parsers wrap errMalformed so that they can be
// counted and passed over.
var errMalformed = errors.New("malformed frame")

// ethernetHeader is the length in bytes of destination, source and EtherType.
// The kernel has taken any VLAN tag off before a packet socket sees a frame.
const ethernetHeader = 14

// message is what one frame says, whichever protocol said it.
type message struct {
	// asks is the address whose hardware address is wanted; invalid when the
	// frame is no question.
	asks netip.Addr
	// claims is the address that the sender says is its own; invalid when it
	// claims none (ARP probe, DAD solicitation).
	claims netip.Addr
	// from is the station that sent it.
	from MAC
	// replyTo is the protocol address that an answer goes to; unspecified
	// when the asker has none yet (ARP probe, DAD).
	replyTo netip.Addr
}

// probing says whether the sender asks in order to use the address itself:
// an ARP probe (RFC 5227 §2.1.1) or duplicate address detection (RFC 4862 §5.4).
func (m message) probing() bool {
	return m.asks.IsValid() && m.replyTo.IsUnspecified()
}

// family is one of the two protocols, with everything that differs between
// them behind function values.
type family struct {
	name      string
	etherType int
	parse     func(frame []byte) (message, error)
	// reply answers q in the name of own, whose addresses q asks for.
	reply func(q message, own MAC) ([]byte, error)
	// announce builds the unasked announcement of addr in one of its forms.
	announce func(addr netip.Addr, own MAC, form Form) ([]byte, error)
	// probe asks whether anybody uses addr.
	probe func(addr netip.Addr, own MAC) ([]byte, error)
	// request asks for the hardware address of addr, as source, an address of
	// own's.
	request func(addr, source netip.Addr, own MAC) ([]byte, error)
}

// familyOf returns the protocol that resolves addr.
func familyOf(addr netip.Addr) family {
	if addr.Is4() {
		return arpFamily()
	}
	return ndpFamily()
}
