// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"net/netip"
	"time"
)

// defendInterval is DEFEND_INTERVAL of RFC 5227 §1.1: the least time between
// two defences of one address, without which two stubborn stations would
// flood the segment.
const defendInterval = 10 * time.Second

// station is who sent a frame, as far as this machine knows.
type station uint8

const (
	stranger station = iota
	// self is any interface of this machine.
	self
	// peer is a machine of the same cluster.
	peer
)

// verdict is what to do about a message.
type verdict struct {
	// reply: the address asked for is announced here, by this port.
	reply bool
	// contested is an announced address that the sender claims too; invalid
	// when there is none.
	contested netip.Addr
	// found is an address under probe that the sender uses, or is about to;
	// invalid when there is none.
	found netip.Addr
}

// judge decides about m. held and probed say whether this port announces an
// address and whether it is being probed for.
func judge(m message, from station, held, probed func(netip.Addr) bool) verdict {
	var v verdict
	if from == self {
		// The kernel asking on behalf of this machine, or a frame of ours
		// that a switch loops back.
		return v
	}
	if m.claims.IsValid() {
		if held(m.claims) {
			v.contested = m.claims
		}
		if probed(m.claims) {
			v.found = m.claims
		}
	}
	if !m.asks.IsValid() {
		return v
	}
	// A gratuitous request asks for the address it claims: nothing to answer,
	// the claim is contested above.
	v.reply = held(m.asks) && m.asks != m.claims
	if m.probing() && from == stranger && probed(m.asks) {
		// Two stations probe for the same address: RFC 5227 §2.1.1 counts
		// that as a conflict.
		v.found = m.asks
	}
	return v
}

// defence remembers when an address was last claimed by a station of each
// kind: what peers do in a takeover must hide no stranger.
type defence struct{ last [peer + 1]time.Time }

// due says whether a claim seen now is to be reported and, if the claimant is
// a stranger, answered; at most once in defendInterval for each kind.
func (d *defence) due(who station, now time.Time) bool {
	last := &d.last[who]
	if !last.IsZero() && now.Sub(*last) < defendInterval {
		return false
	}
	*last = now
	return true
}
