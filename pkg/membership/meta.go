// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
)

// bootID is drawn anew by every process, so that two lives of one node are told apart.
type bootID [16]byte

func newBootID() (b bootID) {
	rand.Read(b[:]) // never fails, crypto/rand ends the process first
	return b
}

// meta is what each member tells about itself in memberlist's node metadata, which travels with its incarnation: the
// newest always wins, and only the node itself can write it.
type meta struct {
	boot          bootID
	heartbeatPort uint16
	leaving       bool
}

const (
	metaVersion = 1
	metaLen     = 1 + len(bootID{}) + 2 + 1
)

func (m meta) marshal() []byte {
	b := append([]byte{metaVersion}, m.boot[:]...)
	b = binary.BigEndian.AppendUint16(b, m.heartbeatPort)
	if m.leaving {
		return append(b, 1)
	}
	return append(b, 0)
}

// parseMeta accepts longer metadata than it knows, from a newer version.
func parseMeta(b []byte) (m meta, err error) {
	if len(b) < metaLen || b[0] != metaVersion {
		return meta{}, fmt.Errorf("metadata of %d bytes: not of version %d", len(b), metaVersion)
	}
	copy(m.boot[:], b[1:])
	b = b[1+len(m.boot):]
	m.heartbeatPort, m.leaving = binary.BigEndian.Uint16(b), b[2]&1 != 0
	return m, nil
}

// envelope is what travels in memberlist's user messages: who sent it, and a number by which a copy that
// comes a second way is known.
type envelope struct {
	kind    envelopeKind
	boot    bootID
	seq     uint64
	from    string
	payload []byte
}

type envelopeKind uint8

const (
	envelopeMessage envelopeKind = 1
	envelopeLeave   envelopeKind = 3
)

const envelopeOverhead = 1 + len(bootID{}) + 8 + 1 // and the name

var errEnvelope = errors.New("malformed envelope")

func (e envelope) marshal() []byte {
	b := make([]byte, 0, envelopeOverhead+len(e.from)+len(e.payload))
	b = append(append(b, byte(e.kind)), e.boot[:]...)
	b = binary.BigEndian.AppendUint64(b, e.seq)
	b = append(append(b, byte(len(e.from))), e.from...)
	return append(b, e.payload...)
}

// parseEnvelope returns an envelope whose payload shares b.
func parseEnvelope(b []byte) (envelope, error) {
	if len(b) < envelopeOverhead {
		return envelope{}, errEnvelope
	}
	e := envelope{kind: envelopeKind(b[0])}
	b = b[1:]
	b = b[copy(e.boot[:], b):]
	e.seq = binary.BigEndian.Uint64(b)
	n, b := int(b[8]), b[9:]
	if n == 0 || n > len(b) || e.kind != envelopeMessage && e.kind != envelopeLeave {
		return envelope{}, errEnvelope
	}
	e.from, e.payload = string(b[:n]), b[n:]
	return e, nil
}
