// SPDX-License-Identifier: Apache-2.0

package ownership

import (
	"net/netip"
	"time"
)

// Event is something that a [Machine] reacts to; one of the types of this
// package whose comment says so.
type Event interface{ apply(m *Machine) }

// Address is the configuration of one address.
type Address struct {
	Address netip.Addr
	// Candidates are the names of the nodes that may announce it, in order of
	// preference. The machine keeps the slice; do not change it afterwards.
	Candidates []string
	// Epoch grows with every change of Candidates. What is older than what the
	// machine already has is ignored.
	Epoch int64
	// Term is the highest that was ever recorded for the address, also by machines that are gone; 0 if none was. A new
	// claim gets a higher one. It says nothing about who holds the address now.
	Term uint64
}

// Configured is an event: these addresses exist, with these candidates. It may
// be sent again for an unchanged address.
type Configured struct{ Addresses []Address }

// Removed is an event: these addresses exist no more. They are withdrawn at
// once, and their gates forgotten, see [Machine].Gate.
type Removed struct{ Addresses []netip.Addr }

// MembersChanged is an event: the whole present view of the cluster.
type MembersChanged struct {
	// Alive are the nodes whose announcer this node sees alive. Self counts as
	// alive whether named or not.
	Alive []string
	// Voters are all announcer nodes of the cluster, alive or not. The majority
	// is of these.
	Voters []string
}

// Lost is an event: a node was out of sight. It may be back already, as another
// run, and no MembersChanged have said that it was gone.
type Lost struct{ Node string }

// Heard is an event: a message of another machine has arrived.
type Heard struct{ Message Message }

// Eligible is an event: the local gate of these addresses. Until the first one
// for an address, this node does not claim it, and the others take the gate to
// be open. An address need not be configured yet.
type Eligible struct {
	Addresses []netip.Addr
	Gate      Gate
	// Patience, with GateUnhealthy, is how long an owner goes on while there is a
	// better candidate before it asks that one: the time in which the others come
	// to know of a fault, or its end, that all nodes have in common.
	Patience time.Duration
}

// Announced is an event: this node answers for these addresses, which it was
// told to announce with CauseInitial. Until then its claim counts as no
// announcement: should it go, the next node probes too. The others hear of it
// with the next message that there is.
type Announced struct{ Addresses []netip.Addr }

// Unjudged is an event: this node no longer knows its gate for these addresses,
// as before the first [Eligible].
type Unjudged struct{ Addresses []netip.Addr }

// Gateway is an event: whether this node reaches its gateway. It decides in
// clusters of two voters which side stays; before the first one the gateway
// counts as unreachable.
type Gateway struct{ Reachable bool }

// Drain is an event: this node wants to give away all that it holds, or no
// longer wants to. It goes on announcing what nobody takes; [Machine].Held tells
// when all is given away.
type Drain struct{ Active bool }

// Settled is an event: the first exchange with the cluster is over, whether by
// success or because there is nobody to be found. Before it (or
// [Options].SettleTimeout after the first event) the machine claims nothing.
// Send it after the first MembersChanged and, best, after the first Eligible.
type Settled struct{}

// Leave is an event: the announcer ends. Everything is withdrawn and said to be
// free, so that others take over without having to notice. Nothing is claimed
// after it.
type Leave struct{}

// Tick is an event: nothing happened but time. The shell sends it when the time
// that [Machine].NextDeadline names has come.
type Tick struct{}
