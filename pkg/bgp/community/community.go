// SPDX-License-Identifier: Apache-2.0

// Package community reads and writes BGP communities: standard (RFC 1997), large (RFC 8092), and the well-known ones by
// name. It is apart from package bgp so that whoever checks what a user wrote need not carry a BGP speaker.
package community

import (
	"fmt"
	"strconv"
	"strings"
)

// Community is a standard (RFC 1997) or a large one (RFC 8092).
type Community struct {
	// Large tells which of the two: a standard one has Global below 2^16 and its value in Local1, also below 2^16.
	Large bool
	// Global is the Global Administrator: an ASN.
	Global         uint32
	Local1, Local2 uint32
}

// wellKnown returns the value of a community that has a name, from the IANA registry of well-known communities.
func wellKnown(name string) (uint32, bool) {
	switch name {
	case "graceful-shutdown": // RFC 8326
		return 0xFFFF0000, true
	case "accept-own": // RFC 7611
		return 0xFFFF0001, true
	case "llgr-stale": // RFC 9494
		return 0xFFFF0006, true
	case "no-llgr":
		return 0xFFFF0007, true
	case "accept-own-nexthop":
		return 0xFFFF0008, true
	case "blackhole": // RFC 7999
		return 0xFFFF029A, true
	case "no-export": // RFC 1997
		return 0xFFFFFF01, true
	case "no-advertise":
		return 0xFFFFFF02, true
	case "no-export-subconfed", "local-as":
		return 0xFFFFFF03, true
	case "no-peer": // RFC 3765
		return 0xFFFFFF04, true
	}
	return 0, false
}

// Parse reads 65000:100, 65000:1:2 or the name of a well-known community such as no-export.
func Parse(s string) (Community, error) {
	if v, ok := wellKnown(s); ok {
		return Community{Global: v >> 16, Local1: v & 0xFFFF}, nil
	}
	parts := strings.Split(s, ":")
	switch len(parts) {
	case 2:
		n, err := numbers(s, parts, 16)
		if err != nil {
			return Community{}, err
		}
		return Community{Global: n[0], Local1: n[1]}, nil
	case 3:
		n, err := numbers(s, parts, 32)
		if err != nil {
			return Community{}, err
		}
		return Community{Large: true, Global: n[0], Local1: n[1], Local2: n[2]}, nil
	}
	return Community{}, fmt.Errorf("community %q: want two numbers below 65536 (65000:100), "+
		"three below 4294967296 (65000:1:2), or a well-known name such as no-export", s)
}

func numbers(whole string, parts []string, bits int) ([]uint32, error) {
	out := make([]uint32, 0, len(parts))
	for _, p := range parts {
		// ParseUint takes no sign, but the form 0x10 must not pass either: base 10 sees to it.
		n, err := strconv.ParseUint(p, 10, bits)
		if err != nil {
			return nil, fmt.Errorf("community %q: %q is not a number from 0 to %d", whole, p, uint64(1)<<bits-1)
		}
		out = append(out, uint32(n))
	}
	return out, nil
}

// String is the form that Parse reads, in numbers.
func (c Community) String() string {
	if c.Large {
		return fmt.Sprintf("%d:%d:%d", c.Global, c.Local1, c.Local2)
	}
	return fmt.Sprintf("%d:%d", c.Global, c.Local1)
}

// GracefulShutdown asks the peer to prefer any other path (RFC 8326).
func GracefulShutdown() Community { return Community{Global: 0xFFFF} }
