// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"net/netip"
	"time"

	"github.com/fairlead-io/fairlead/pkg/bgp/community"
)

// Desired is everything that should be announced, and to whom.
type Desired struct {
	// RouterID is the BGP identifier, an IPv4 address. A change restarts all sessions.
	RouterID netip.Addr
	// Peers may have several that are at one address, or on one interface: the one that has a session keeps it, else the
	// first gets it. Of the others, Session.LastError names that one.
	Peers []Peer
	// Routes may have several entries of one prefix: a peer is told the first that is for it.
	Routes []Route
}

// Peer is one session, which any change to it resets but one of next hops. Name, Address or Interface, ASN
// and LocalASN are required; a zero means the default elsewhere.
type Peer struct {
	// Name tells peers apart, also in errors and metrics.
	Name string
	// Address of the peer. A link-local one needs its zone.
	Address netip.Addr
	// Interface makes an unnumbered session (RFC 5549): the peer is the one router that advertises itself there.
	Interface string
	// ASN is the peer's, LocalASN ours towards it; equal ones make the session internal.
	ASN, LocalASN uint32
	// Source is the address that connections come from. Default: as the kernel routes.
	Source netip.Addr
	// Port of the peer. Default 179.
	Port uint16
	// HoldTime from 3s; default 90s. Keepalive, which must be shorter, defaults to a third of it. ConnectRetry defaults to
	// 10s; less than 2s is taken for 2s. All in whole seconds, rounded up.
	HoldTime, Keepalive, ConnectRetry time.Duration
	// MultiHop is the TTL towards an external peer that is not on the same segment. Default 1.
	MultiHop uint8
	// Password is the TCP MD5 key (RFC 2385), at most 80 bytes.
	Password string
	// BFD beside the session, single hop (RFC 5881).
	BFD BFD
	// GracefulRestart is how long the peer is to keep routes while the speaker restarts (RFC 4724), at most 4095s. Zero
	// turns it off.
	GracefulRestart time.Duration
	// LongLivedStale is how much longer the peer is to keep them as a last resort (RFC 9494), at most 2^24-1 seconds. Needs
	// GracefulRestart; zero turns it off.
	LongLivedStale time.Duration
	// NextHop4 and NextHop6 replace the next hop of the routes of a family. Needed for IPv6 routes over an IPv4 session,
	// whose own address cannot be the next hop; default otherwise: the session's local address.
	NextHop4, NextHop6 netip.Addr
}

// session is the part of a peer that a change of resets the session.
func (p Peer) session() Peer {
	p.NextHop4, p.NextHop6 = netip.Addr{}, netip.Addr{}
	return p
}

// BFD says how fast a dead path is to be noticed. The zero value turns it off.
type BFD struct {
	// Interval between packets, in both directions, from 10ms.
	Interval time.Duration
	// Multiplier is the number of packets missed in a row that ends the session, from 2.
	Multiplier uint8
}

// Enabled tells whether there is to be BFD.
func (b BFD) Enabled() bool { return b.Interval > 0 }

// Route is a prefix to announce.
type Route struct {
	Prefix netip.Prefix
	Attributes
	// Peers names who is told; empty means all.
	Peers []string
	// Leaving announces it as that of a machine about to give it up; see [Speaker.Drain].
	Leaving bool
}

// Attributes of a route.
type Attributes struct {
	Communities []community.Community
	// LocalPreference is sent to internal peers. Nil means 100.
	LocalPreference *uint32
	// MED is not sent when nil.
	MED *uint32
	// Prepend is how many times the local ASN is put before the path once more, towards external peers.
	Prepend uint8
	// LinkBandwidth in bytes per second is told to peers that balance by it (draft-ietf-idr-link-bandwidth), at most 2^32-1;
	// zero tells nothing.
	LinkBandwidth uint32
}

// State of a session, as RFC 4271 section 8.2.2 names it.
type State string

// The states of a session.
const (
	Idle        State = "Idle"
	Connect     State = "Connect"
	Active      State = "Active"
	OpenSent    State = "OpenSent"
	OpenConfirm State = "OpenConfirm"
	Established State = "Established"
)

// Session is how it stands with one peer.
type Session struct {
	Peer string
	// Address of the peer; invalid while it has not been found.
	Address netip.Addr
	// LocalASN towards the peer.
	LocalASN uint32
	State    State
	// Since when the session has this state.
	Since time.Time
	// Prefixes that the peer is told now: none unless Established.
	Prefixes int
	// BFD is Up, Down, Init or AdminDown, and empty without BFD.
	BFD string
	// LostByBFD tells that the session ended last because BFD went down.
	LostByBFD bool
	// Flaps counts how often the session left Established.
	Flaps int
	// LastError in words; empty while all is well.
	LastError string
}
