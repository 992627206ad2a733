// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"net/netip"
	"time"
)

// State is what this node holds a member to be.
type State uint8

// States of a member. Only StateAlive and StateSuspect members count as reachable.
const (
	// StateAlive: a member by gossip, and not silent where this node listens.
	StateAlive State = iota
	// StateSuspect: this node misses its heartbeats but has no second opinion yet, or memberlist holds it to
	// be dead and its heartbeats are heard.
	StateSuspect
	// StateDead: failed, by heartbeat or by memberlist. It stays listed until it returns, or until ten minutes after it is
	// no longer a seed.
	StateDead
	// StateLeft: said goodbye.
	StateLeft
)

func (s State) String() string {
	return [...]string{"alive", "suspect", "dead", "left"}[s]
}

// Member is one node of the group as this node sees it.
type Member struct {
	Name string
	// Addr is where it receives gossip.
	Addr  netip.AddrPort
	State State
	// Since is the local time of the last change of State.
	Since time.Time
}

// EventKind says what an Event reports.
type EventKind uint8

// Kinds of events.
const (
	// Joined: a node became a member, for the first time or after Failed or Left.
	Joined EventKind = iota
	// Recovered: a member reported Failed by heartbeat is alive after all; it never ceased to be a member by gossip.
	Recovered
	// Left: a member left gracefully. It comes before its sockets close.
	Left
	// Failed: a member is no longer reachable; Cause says who found out.
	Failed
	// Message: Payload was broadcast or sent by Member.
	Message
)

func (k EventKind) String() string {
	return [...]string{"joined", "recovered", "left", "failed", "message"}[k]
}

// Cause says what an event rests on.
type Cause string

// Causes of events about members.
const (
	// CauseHeartbeat: the ring of heartbeats.
	CauseHeartbeat Cause = "heartbeat"
	// CauseGossip: memberlist's own probes, or what it was told.
	CauseGossip Cause = "gossip"
	// CauseProbe: a direct probe of memberlist was answered although heartbeats are not heard.
	CauseProbe Cause = "probe"
	// CauseLeave: the member said so.
	CauseLeave Cause = "leave"
	// CauseRestart: the member came back as another process before its death was noticed; Joined follows at once.
	CauseRestart Cause = "restart"
)

// Event is a change of membership or a payload. Events come in the order in which this node learnt of them; the events
// of a node lie between its Joined and its Failed or Left, except that payloads already on their way may come later.
type Event struct {
	Kind EventKind
	// Member is the node concerned, or the sender of the payload. For payloads only Name is sure to be set.
	Member Member
	// Cause is set for Joined, Recovered, Left and Failed.
	Cause Cause
	// Payload belongs to the receiver.
	Payload []byte
	// Silence is for how long nothing had been heard of a member when the heartbeats' verdict on it came: what detection
	// took, but for the time since its last sign of life. 0 where that is not known.
	Silence time.Duration
	// At is when this node learnt of it.
	At time.Time
}
