// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync"
)

// A datagram of the detector, all numbers big-endian:
//
//	version (1) boot (16) sequence number (8)       in clear, authenticated
//	kind (1) name length (1) name                   encrypted, AES-GCM
//	[accused: name length (1) name boot (16)]*
//	tag (16)
//
// The key of a datagram is derived from the group's key and the sender's boot id, so the sequence number can be the
// nonce: it never repeats under one key, and no number of random nonces can collide however many members send.
const (
	datagramVersion = 1
	headerLen       = 1 + len(bootID{}) + 8
	maxDatagram     = 1200
	// maxAccused is how many accused fit one datagram with the longest names.
	maxAccused = (maxDatagram - headerLen - 16 - 2 - maxNameLen) / (1 + maxNameLen + len(bootID{}))
)

var (
	errMalformed = errors.New("malformed heartbeat")
	errForeign   = errors.New("heartbeat that no key opens")
)

// datagram is one message of the detector.
type datagram struct {
	from    subject
	seq     uint64
	kind    actionKind
	accused []subject
}

func appendName(b []byte, name string) []byte { return append(append(b, byte(len(name))), name...) }

func cutName(b []byte) (string, []byte, error) {
	if len(b) == 0 {
		return "", nil, errMalformed
	}
	n := int(b[0])
	if n == 0 || n > maxNameLen || n > len(b)-1 {
		return "", nil, errMalformed
	}
	return string(b[1 : 1+n]), b[1+n:], nil
}

// body is what gets encrypted.
func (g datagram) body() []byte {
	b := appendName([]byte{byte(g.kind)}, g.from.name)
	for _, s := range g.accused {
		b = append(appendName(b, s.name), s.boot[:]...)
	}
	return b
}

// parseBody reads what was encrypted. It must survive anything, like every parser of input from a network.
func (g *datagram) parseBody(b []byte) (err error) {
	if len(b) < 2 {
		return errMalformed
	}
	g.kind = actionKind(b[0])
	if g.kind < sendBeat || g.kind > sendAccuse {
		return errMalformed
	}
	if g.from.name, b, err = cutName(b[1:]); err != nil {
		return err
	}
	for len(b) > 0 {
		var s subject
		if s.name, b, err = cutName(b); err != nil || len(b) < len(s.boot) {
			return errMalformed
		}
		b = b[copy(s.boot[:], b):]
		g.accused = append(g.accused, s)
	}
	return nil
}

// sealer encrypts for this node and opens what others sent. Its methods may be called from any goroutine.
type sealer struct {
	mu      sync.Mutex
	keys    [][]byte
	ciphers map[bootID][]cipher.AEAD // per sender, one for each key in order; only of senders that proved to have one
}

func newSealer(keys [][]byte) *sealer {
	return &sealer{keys: keys, ciphers: map[bootID][]cipher.AEAD{}}
}

// setKeys replaces the keys; the first encrypts.
func (s *sealer) setKeys(keys [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keys
	clear(s.ciphers)
}

// of returns the ciphers of a sender, in the order of the keys.
func (s *sealer) of(boot bootID) (list []cipher.AEAD, remember func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if list := s.ciphers[boot]; list != nil {
		return list, func() {}, nil
	}
	for _, k := range s.keys {
		sub, err := hkdf.Key(sha256.New, k, boot[:], "fairlead membership heartbeat", 32)
		if err != nil {
			return nil, nil, err
		}
		block, err := aes.NewCipher(sub)
		if err != nil {
			return nil, nil, err
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, gcm)
	}
	keys := s.keys
	return list, func() { s.remember(boot, keys, list) }, nil
}

// maxCiphers bounds the cache; past it, it starts anew.
const maxCiphers = 8192

func (s *sealer) remember(boot bootID, keys [][]byte, list []cipher.AEAD) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(keys) == 0 || len(s.keys) == 0 || &keys[0] != &s.keys[0] {
		return // the keys changed meanwhile
	}
	if len(s.ciphers) >= maxCiphers {
		clear(s.ciphers)
	}
	s.ciphers[boot] = list
}

func nonce(seq uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 4, 12), seq) }

// seal returns the datagram as sent. g.seq must never be used twice for one boot.
func (s *sealer) seal(g datagram) ([]byte, error) {
	list, remember, err := s.of(g.from.boot)
	if err != nil {
		return nil, err
	}
	remember()
	head := make([]byte, 0, maxDatagram)
	head = append(append(head, datagramVersion), g.from.boot[:]...)
	head = binary.BigEndian.AppendUint64(head, g.seq)
	return list[0].Seal(head, nonce(g.seq), g.body(), head), nil
}

// open authenticates and reads a datagram.
func (s *sealer) open(b []byte) (g datagram, err error) {
	if len(b) < headerLen || b[0] != datagramVersion {
		return g, errMalformed
	}
	copy(g.from.boot[:], b[1:])
	g.seq = binary.BigEndian.Uint64(b[headerLen-8:])
	list, remember, err := s.of(g.from.boot)
	if err != nil {
		return g, err
	}
	for _, c := range list {
		if body, err := c.Open(nil, nonce(g.seq), b[headerLen:], b[:headerLen]); err == nil {
			remember()
			return g, g.parseBody(body)
		}
	}
	return g, errForeign
}
