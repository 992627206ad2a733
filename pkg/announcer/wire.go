// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairlead-io/fairlead/pkg/ownership"
)

// wireVersion is the first byte of every payload. Agents of another version's format are not understood, which the
// error says.
const wireVersion = 1

const (
	flagSettled = 1 << iota
	flagDraining
	flagPull
	flagFull
	flagCheck
)

// An entry begins with one byte: bit 7 IPv6, bit 6 silent, bits 4-5 the phase, bits 2-3 the route, bits 0-1 the gate.
const (
	entryIPv6   = 1 << 7
	entrySilent = 1 << 6
	phaseShift  = 4
	routeShift  = 2
	twoBits     = 3
)

// entriesPerDatagram is how many entries of either family membership.MaxFastPayload holds, with the longest names.
const entriesPerDatagram = 36

// encodeMessage writes what machines tell one another in the form
//
//	version flags incarnation seq digest from successors entries
//
// with numbers as uvarints, the digest as 8 bytes, strings after their length, and successors named once and then
// referred to by index, so that many fit one datagram also while all of them are being handed over.
func encodeMessage(m ownership.Message) []byte {
	b := make([]byte, 0, 64+24*len(m.Entries))
	b = append(b, wireVersion, flagsOf(m))
	b = binary.AppendUvarint(b, m.Incarnation)
	b = binary.AppendUvarint(b, m.Seq)
	b = binary.BigEndian.AppendUint64(b, m.Digest)
	b = appendString(b, m.From)
	var names []string
	for _, e := range m.Entries {
		if e.Successor != "" && !slices.Contains(names, e.Successor) {
			names = append(names, e.Successor)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(names)))
	for _, n := range names {
		b = appendString(b, n)
	}
	b = binary.AppendUvarint(b, uint64(len(m.Entries)))
	for _, e := range m.Entries {
		b = appendEntry(b, e, names)
	}
	return b
}

func flagsOf(m ownership.Message) byte {
	var f byte
	for _, s := range []struct {
		set bool
		bit byte
	}{{m.Settled, flagSettled}, {m.Draining, flagDraining}, {m.Pull, flagPull}, {m.Full, flagFull}, {m.Check, flagCheck}} {
		if s.set {
			f |= s.bit
		}
	}
	return f
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendEntry(b []byte, e ownership.Entry, names []string) []byte {
	head := byte(e.Phase)<<phaseShift | byte(e.Route)<<routeShift | byte(e.Gate)
	if e.Address.Is6() {
		head |= entryIPv6
	}
	if e.Silent {
		head |= entrySilent
	}
	b = append(b, head)
	b = append(b, e.Address.AsSlice()...)
	b = binary.AppendUvarint(b, e.Term)
	b = append(b, e.Order)
	// 0 is no successor.
	return binary.AppendUvarint(b, uint64(slices.Index(names, e.Successor)+1))
}

var errTruncated = errors.New("truncated")

// decodeMessage reverses encodeMessage. Its input comes from a holder of the gossip key; an error means a fault or
// another version there.
func decodeMessage(b []byte) (ownership.Message, error) {
	r := reader{rest: b}
	if v := r.byte(); r.err == nil && v != wireVersion {
		return ownership.Message{}, fmt.Errorf("gossip payload: version %d, this agent speaks %d", v, wireVersion)
	}
	flags := r.byte()
	m := ownership.Message{
		Incarnation: r.uvarint(), Seq: r.uvarint(), Digest: r.uint64(), From: r.string(),
		Settled: flags&flagSettled != 0, Draining: flags&flagDraining != 0, Pull: flags&flagPull != 0,
		Full: flags&flagFull != 0, Check: flags&flagCheck != 0,
	}
	var names []string
	for range r.count(1) {
		names = append(names, r.string())
	}
	for range r.count(8) {
		m.Entries = append(m.Entries, r.entry(names))
	}
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%d bytes too many", len(r.rest))
	}
	if r.err != nil {
		return ownership.Message{}, fmt.Errorf("gossip payload of %d bytes: %w", len(b), r.err)
	}
	return m, nil
}

// reader takes values off the front; after the first error it returns zeros.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) take(n uint64) []byte {
	if r.err == nil && n > uint64(len(r.rest)) {
		r.err = errTruncated
	}
	if r.err != nil {
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail(errTruncated)
		return 0
	}
	r.take(uint64(n))
	return v
}

func (r *reader) string() string { return string(r.take(r.uvarint())) }

// count reads a number of items of at least size bytes each, so that a forged one cannot make us allocate.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.rest)/size) {
		r.fail(errTruncated)
		return 0
	}
	return int(n)
}

func (r *reader) entry(names []string) ownership.Entry {
	head := r.byte()
	length := uint64(4)
	if head&entryIPv6 != 0 {
		length = 16
	}
	addr, ok := netip.AddrFromSlice(r.take(length))
	e := ownership.Entry{
		Address: addr, Phase: ownership.Phase(head >> phaseShift & twoBits), Gate: ownership.Gate(head & twoBits),
		Route: ownership.Route(head >> routeShift & twoBits), Silent: head&entrySilent != 0,
		Term: r.uvarint(), Order: r.byte(),
	}
	switch i := r.uvarint(); {
	case !ok:
		r.fail(errTruncated)
	case e.Phase > ownership.PhaseYielding || e.Gate > ownership.GateClosed || e.Route > ownership.RouteFailing || addr.Is4In6():
		r.fail(fmt.Errorf("entry for %v: unknown phase %d, gate %d or route %d", addr, e.Phase, e.Gate, e.Route))
	case i > uint64(len(names)):
		r.fail(fmt.Errorf("entry for %v: successor %d of %d", addr, i, len(names)))
	case i > 0:
		e.Successor = names[i-1]
	}
	return e
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}
