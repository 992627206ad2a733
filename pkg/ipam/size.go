// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// Size is a number of addresses, from 0 to 2^128-1. Sums that would exceed
// that stay there: all of IPv6 is counted one short. Sizes can be compared
// with ==.
type Size struct {
	hi, lo uint64
}

// SizeFrom returns n as a Size.
func SizeFrom(n uint64) Size { return Size{lo: n} }

// sizeOf returns addr read as a number.
func sizeOf(addr netip.Addr) Size {
	if addr.Is4() {
		b := addr.As4()
		return Size{lo: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := addr.As16()
	return Size{hi: binary.BigEndian.Uint64(b[:8]), lo: binary.BigEndian.Uint64(b[8:])}
}

// Plus adds and stays at the largest Size.
func (s Size) Plus(t Size) Size {
	lo, carry := bits.Add64(s.lo, t.lo, 0)
	hi, carry := bits.Add64(s.hi, t.hi, carry)
	if carry != 0 {
		return Size{hi: math.MaxUint64, lo: math.MaxUint64}
	}
	return Size{hi: hi, lo: lo}
}

// minus subtracts and stays at zero.
func (s Size) minus(t Size) Size {
	lo, borrow := bits.Sub64(s.lo, t.lo, 0)
	hi, borrow := bits.Sub64(s.hi, t.hi, borrow)
	if borrow != 0 {
		return Size{}
	}
	return Size{hi: hi, lo: lo}
}

// IsZero reports whether s is 0.
func (s Size) IsZero() bool { return s == Size{} }

// Float64 returns the nearest float64: for metrics.
func (s Size) Float64() float64 { return math.Ldexp(float64(s.hi), 64) + float64(s.lo) }

// String returns the number for people: exact below 2^63; from there on "2^64"
// for a power of two and "1.8e19" for all else.
func (s Size) String() string {
	if s.hi == 0 && s.lo <= math.MaxInt64 {
		return strconv.FormatUint(s.lo, 10)
	}
	switch {
	case s.hi == math.MaxUint64 && s.lo == math.MaxUint64:
		return "2^128"
	case bits.OnesCount64(s.hi)+bits.OnesCount64(s.lo) != 1:
		return strings.Replace(fmt.Sprintf("%.1e", s.Float64()), "e+", "e", 1)
	case s.hi != 0:
		return fmt.Sprintf("2^%d", 64+bits.TrailingZeros64(s.hi))
	}
	return fmt.Sprintf("2^%d", bits.TrailingZeros64(s.lo))
}
