// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// entry is one member: what memberlist says, and what the heartbeats say, which together make State.
type entry struct {
	Member
	node memberlist.Node
	meta meta
	// hasMeta is false for a node whose metadata is not ours; it is then left to memberlist.
	hasMeta bool
	// listed: memberlist holds it to be alive (or suspected).
	listed bool
	// disputed: memberlist holds it to be dead, and the heartbeats have not conceded that yet.
	disputed bool
	// gone: the member of this boot said goodbye.
	gone bool
	// failed: the heartbeats hold it to be dead.
	failed  bool
	suspect bool
	replay  replayWindow // of envelopes
}

func (e *entry) state() State {
	switch {
	case e.gone:
		return StateLeft
	case !e.member() || e.failed:
		return StateDead
	case e.suspect || e.disputed:
		return StateSuspect
	}
	return StateAlive
}

// member reports whether it takes part, dead or alive.
func (e *entry) member() bool { return e.listed || e.disputed }

func (e *entry) up() bool { return e.State == StateAlive || e.State == StateSuspect }

// view merges the verdicts on all other members. It is a pure state machine: every method returns the events that
// follow from what it is told.
type view struct {
	self    string
	members map[string]*entry
}

func newView(self string) *view { return &view{self: self, members: map[string]*entry{}} }

// joined records that memberlist has the node alive, or that its metadata changed.
func (v *view) joined(n memberlist.Node, now time.Time) []Event {
	if n.Name == v.self {
		return nil
	}
	e, known := v.members[n.Name]
	if !known {
		e = &entry{Member: Member{Name: n.Name, State: StateDead, Since: now}}
		v.members[n.Name] = e
	}
	mt, err := parseMeta(n.Meta)
	var events []Event
	if known && e.boot() != mt.boot {
		if e.up() && e.hasMeta {
			e.listed, e.disputed = false, false
			events = v.settle(e, CauseRestart, now)
		}
		e.replay = replayWindow{}
		e.failed, e.suspect, e.gone = false, false, false
	}
	wasMember := e.member()
	ip, _ := netip.AddrFromSlice(n.Addr)
	e.Addr = netip.AddrPortFrom(ip.Unmap(), n.Port)
	e.node, e.meta, e.hasMeta, e.listed, e.disputed = n, mt, err == nil, true, false
	if !wasMember {
		e.failed, e.suspect = false, false
	}
	cause := CauseGossip
	if mt.leaving {
		e.gone, cause = true, CauseLeave
	}
	return append(events, v.settle(e, cause, now)...)
}

func (e *entry) boot() bootID { return e.meta.boot }

// delisted records that memberlist has the node dead or gone. It is in dispute if the heartbeats have not said so.
func (v *view) delisted(name string, now time.Time) []Event {
	e := v.members[name]
	if e == nil {
		return nil
	}
	e.disputed = e.disputed || e.listed && e.hasMeta && !e.gone && !e.failed
	e.listed = false
	return v.settle(e, CauseGossip, now)
}

// conceded records that the heartbeats have nothing to say against memberlist's verdict.
func (v *view) conceded(name string, now time.Time) []Event {
	e := v.members[name]
	if e == nil {
		return nil
	}
	e.disputed = false
	return v.settle(e, CauseGossip, now)
}

// leaving records a goodbye.
func (v *view) leaving(name string, boot bootID, now time.Time) []Event {
	e := v.members[name]
	if e == nil || e.boot() != boot {
		return nil
	}
	e.gone, e.disputed = true, false
	return v.settle(e, CauseLeave, now)
}

// judged records the heartbeats' verdict.
func (v *view) judged(name string, failed, suspect bool, cause Cause, now time.Time) []Event {
	e := v.members[name]
	if e == nil {
		return nil
	}
	e.failed, e.suspect = failed, suspect
	e.disputed = e.disputed && !failed
	return v.settle(e, cause, now)
}

// settle works out the member's state and the event that its change calls for.
func (v *view) settle(e *entry, cause Cause, now time.Time) []Event {
	was, is := e.State, e.state()
	if was == is {
		return nil
	}
	wasUp := e.up()
	e.State, e.Since = is, now
	ev := Event{Member: e.Member, Cause: cause, At: now}
	switch {
	case wasUp == e.up() && is != StateLeft, is == StateDead && was == StateLeft:
		return nil
	case is == StateLeft:
		if !wasUp {
			return nil
		}
		ev.Kind = Left
	case is == StateDead:
		ev.Kind = Failed
	case cause == CauseHeartbeat || was == StateDead && cause == CauseProbe:
		ev.Kind = Recovered
	default:
		ev.Kind = Joined
	}
	return []Event{ev}
}

// list returns the other members, in no order.
func (v *view) list() []Member {
	out := make([]Member, 0, len(v.members))
	for _, e := range v.members {
		out = append(out, e.Member)
	}
	return out
}
