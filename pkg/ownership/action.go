// SPDX-License-Identifier: Apache-2.0

package ownership

import (
	"net/netip"
	"time"
)

// Action is something that the caller of [Machine].Step has to do; one of
// [Announce], [Offered], [Reannounce], [Withdraw], [OwnerChanged],
// [RoutesChanged], [Gossip] and [Send]. Actions are to be done in the order
// returned, so that a node withdraws before it says that it has.
type Action interface{ action() }

// Cause says why an address is announced or withdrawn. Its text is a stable
// value for metrics.
type Cause string

const (
	// CauseInitial (Announce): as far as this node knows, nobody announced the
	// address before. It is to be probed for another user first (RFC 5227, DAD);
	// once it is announced, [Announced] is to say so.
	CauseInitial Cause = "initial"
	// CauseTakeover (Announce): the owner is gone, or has let the address go.
	CauseTakeover Cause = "takeover"
	// CauseHandover (Announce, Withdraw): the owner asked this node to take over,
	// or the node that was asked has done so.
	CauseHandover Cause = "handover"
	// CauseSuperseded (Withdraw): a live node has the better claim.
	CauseSuperseded Cause = "superseded"
	// CauseMinority (Withdraw): this node does not see a majority.
	CauseMinority Cause = "minority"
	// CauseGate (Withdraw): the local gate was closed.
	CauseGate Cause = "gate"
	// CauseRemoved (Withdraw): the address exists no more.
	CauseRemoved Cause = "removed"
	// CauseLeave (Withdraw): the announcer ends.
	CauseLeave Cause = "leave"
)

// Announce is an action: begin to announce the address.
type Announce struct {
	Address netip.Addr
	Term    uint64
	Cause   Cause
	// From is the owner that asked; only with CauseHandover. [OwnerChanged] may
	// never have named it: its first word to arrive may be the question.
	From string
}

// Offered is an action: the node that this one asks to take the address over may
// announce it from now on. Go on answering for it, but for the time of For do
// not announce it unasked: neighbours that have heard of the successor would
// come back, in the midst of connections that this node does not know.
//
// It is not repeated once every possible successor was asked in vain, so that
// an owner that finds none does not fall silent; nor does it come before
// neighbours have had the time to hear that this node took over from a dead one.
type Offered struct {
	Address netip.Addr
	For     time.Duration
}

// Reannounce is an action: another node may have announced the address since
// this one did, and has it no more, such as one that was asked to take it over
// and died. Announce it as after a takeover, whatever [Offered] said.
type Reannounce struct{ Address netip.Addr }

// Withdraw is an action: stop announcing the address. Neighbours may still send
// here for a while; what they send is to be forwarded.
type Withdraw struct {
	Address netip.Addr
	Term    uint64
	Cause   Cause
}

// OwnerChanged is an action: this node now believes Owner to hold the address.
// A later takeover is from the last one named.
type OwnerChanged struct {
	Address netip.Addr
	// Owner is empty when no live node holds the address.
	Owner string
	Term  uint64
}

// Gossip is an action: send the message to every other announcer. It may be
// lost.
type Gossip struct{ Message Message }

// Send is an action: send the message to one node, by a way that carries large
// messages. It may be lost.
type Send struct {
	To      string
	Message Message
}

func (Announce) action()     {}
func (Offered) action()      {}
func (Reannounce) action()   {}
func (Withdraw) action()     {}
func (OwnerChanged) action() {}
func (Gossip) action()       {}
func (Send) action()         {}
