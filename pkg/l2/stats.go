// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// Conflict is another station's use of an address.
type Conflict struct {
	Address netip.Addr
	// Interface is the name of the interface that it was seen on.
	Interface string
	// MAC is the other station's hardware address.
	MAC MAC
	// Peer is its name as given to SetPeers; empty for a stranger. A peer's
	// claim is the cluster's own doing (a takeover): it is not defended.
	Peer string
	// Probing: the station does not use the address yet, it asks in order to.
	// Only Probe finds such.
	Probing bool
	// Defended: an announcement was sent in answer.
	Defended bool
	At       time.Time
}

// Stats are totals since the speaker was made, except Unannounced.
type Stats struct {
	ARP, NDP FamilyStats
	// Unannounced is how many (address, interface) pairs wait for their first
	// announcement: after a takeover, the way to see its first round done.
	Unannounced int
	// ConflictsDropped were not delivered because nobody read Conflicts.
	ConflictsDropped uint64
}

// FamilyStats are the totals of one protocol.
type FamilyStats struct {
	// Requests received that passed the kernel's filter, for any address.
	Requests uint64
	// Replies sent to them.
	Replies uint64
	// Gratuitous announcements sent, first ones and repeated ones.
	Gratuitous uint64
	// Conflicts are strangers' claims reported, Defences those answered.
	Conflicts, Defences uint64
	// Malformed frames were passed over.
	Malformed uint64
	// SendErrors and ReceiveErrors of the sockets.
	SendErrors, ReceiveErrors uint64
}

type familyCounters struct {
	requests, replies, gratuitous, conflicts, defences, malformed, sendErrors, receiveErrors atomic.Uint64
}

func (c *familyCounters) read() FamilyStats {
	return FamilyStats{
		Requests:      c.requests.Load(),
		Replies:       c.replies.Load(),
		Gratuitous:    c.gratuitous.Load(),
		Conflicts:     c.conflicts.Load(),
		Defences:      c.defences.Load(),
		Malformed:     c.malformed.Load(),
		SendErrors:    c.sendErrors.Load(),
		ReceiveErrors: c.receiveErrors.Load(),
	}
}
