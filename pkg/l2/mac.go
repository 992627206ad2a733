// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"fmt"
	"net"
)

// MAC is an EUI-48 hardware address. Unlike net.HardwareAddr it can be a map
// key; the zero value stands for "none".
type MAC [6]byte

// ParseMAC reads the usual colon, hyphen or dot notations. It refuses
// addresses that are not six bytes long (InfiniBand, EUI-64).
func ParseMAC(s string) (MAC, error) {
	hw, err := net.ParseMAC(s)
	if err != nil {
		return MAC{}, fmt.Errorf("hardware address %q: %w", s, err)
	}
	m, ok := macFrom(hw)
	if !ok {
		return MAC{}, fmt.Errorf("hardware address %q has %d bytes, want 6", s, len(hw))
	}
	return m, nil
}

// String returns the colon notation, in lower case.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// unicast says whether m can be the address of one station: neither zero nor
// a group address (IEEE 802 I/G bit).
func (m MAC) unicast() bool { return m != MAC{} && m[0]&1 == 0 }

func macFrom(b []byte) (MAC, bool) {
	if len(b) != len(MAC{}) {
		return MAC{}, false
	}
	return MAC(b), true
}

// broadcast returns the Ethernet broadcast address.
func broadcast() MAC { return MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }
