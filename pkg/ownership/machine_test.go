// SPDX-License-Identifier: Apache-2.0

package ownership

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// cluster is a set of machines whose messages arrive at once and in order.
type cluster struct {
	t        *testing.T
	now      time.Time
	names    []string
	machines map[string]*Machine
	actions  map[string][]Action // announce, offer and withdraw, since last taken
	cut      map[string]bool     // nodes that hear and say nothing
}

var (
	addrA = netip.MustParseAddr("10.0.0.100")
	addrB = netip.MustParseAddr("fd00::1")
)

func newCluster(t *testing.T, names ...string) *cluster {
	t.Helper()
	c := &cluster{
		t: t, now: time.Unix(1000, 0), names: names,
		machines: map[string]*Machine{}, actions: map[string][]Action{}, cut: map[string]bool{},
	}
	for i, n := range names {
		c.machines[n] = New(Options{Self: n, Incarnation: uint64(i + 1), Quorum: QuorumMajority})
	}
	return c
}

// settled brings a cluster up whose nodes all may announce the addresses.
func (c *cluster) settled(addresses ...Address) *cluster {
	c.t.Helper()
	c.members()
	for _, n := range c.names {
		c.step(n, Configured{addresses})
		for _, a := range addresses {
			c.step(n, Eligible{Addresses: []netip.Addr{a.Address}, Gate: GateOpen})
		}
	}
	for _, n := range c.names {
		c.step(n, Settled{})
	}
	c.pass(10 * time.Second)
	c.actions = map[string][]Action{}
	return c
}

func (c *cluster) step(node string, ev Event) {
	c.t.Helper()
	for _, a := range c.machines[node].Step(ev, c.now) {
		switch a := a.(type) {
		case Gossip:
			for _, to := range c.names {
				c.deliver(node, to, a.Message)
			}
		case Send:
			c.deliver(node, a.To, a.Message)
		case Announce, Offered, Reannounce, Withdraw:
			c.actions[node] = append(c.actions[node], a)
			if a, ok := a.(Announce); ok && a.Cause == CauseInitial {
				c.step(node, Announced{[]netip.Addr{a.Address}})
			}
		}
	}
}

func (c *cluster) deliver(from, to string, msg Message) {
	c.t.Helper()
	if from != to && !c.cut[from] && !c.cut[to] {
		c.step(to, Heard{msg})
	}
}

// members tells every node whom it sees: all that are not cut off like itself.
func (c *cluster) members() {
	c.t.Helper()
	for _, n := range c.names {
		var alive []string
		for _, o := range c.names {
			if !c.cut[n] && !c.cut[o] {
				alive = append(alive, o)
			}
		}
		c.step(n, MembersChanged{Alive: alive, Voters: c.names})
	}
}

// pass lets time go by, with the ticks that the machines want.
func (c *cluster) pass(d time.Duration) {
	c.t.Helper()
	end := c.now.Add(d)
	for {
		first, who := end, ""
		for _, n := range c.names {
			if at, ok := c.machines[n].NextDeadline(); ok && at.Before(first) {
				first, who = at, n
			}
		}
		c.now = first
		if who == "" {
			return
		}
		c.step(who, Tick{})
	}
}

func (c *cluster) owners(a netip.Addr) []string {
	var out []string
	for _, n := range c.names {
		if c.machines[n].Holds(a) {
			out = append(out, n)
		}
	}
	return out
}

func (c *cluster) want(what string, a netip.Addr, owners ...string) {
	c.t.Helper()
	if diff := cmp.Diff(owners, c.owners(a), cmpopts.EquateEmpty()); diff != "" {
		c.t.Errorf("%s: owners of %s (-want +got):\n%s", what, a, diff)
	}
}

func three(t *testing.T) *cluster {
	t.Helper()
	return newCluster(t, "n1", "n2", "n3").settled(
		Address{addrA, []string{"n1", "n2", "n3"}, 1, 0},
		Address{addrB, []string{"n2", "n3", "n1"}, 1, 0})
}

func TestFirstCandidateAnnounces(t *testing.T) {
	c := three(t)
	c.want("at rest", addrA, "n1")
	c.want("at rest", addrB, "n2")
}

func TestTakeoverNeedsNoTime(t *testing.T) {
	c := three(t)
	c.cut["n1"] = true
	c.members()
	c.want("n1 cut off", addrA, "n2")
	c.want("n1 cut off", addrB, "n2")
	want := map[string][]Action{
		"n1": {Withdraw{Address: addrA, Term: 1, Cause: CauseMinority}},
		"n2": {Announce{Address: addrA, Term: 2, Cause: CauseTakeover}},
	}
	if diff := cmp.Diff(want, c.actions, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
	c.cut["n1"] = false
	c.members()
	c.pass(time.Minute)
	c.want("n1 back", addrA, "n2")
}

// TestHandoverPassesOverTheMute: a successor that does not know the address yet
// does not answer; the next one is asked, and the owner stays until it has.
func TestHandoverPassesOverTheMute(t *testing.T) {
	c := newCluster(t, "n1", "n2", "n3")
	c.members()
	for _, n := range []string{"n1", "n3"} {
		c.step(n, Configured{[]Address{{addrA, []string{"n1", "n2", "n3"}, 1, 0}}})
		c.step(n, Eligible{Addresses: []netip.Addr{addrA}, Gate: GateOpen})
	}
	for _, n := range c.names {
		c.step(n, Settled{})
	}
	c.want("before", addrA, "n1")
	c.step("n1", Drain{true})
	c.want("n2 is asked", addrA, "n1")
	c.pass(1500 * time.Millisecond)
	c.want("n3 is asked", addrA, "n3")
}

// TestSuccessorKnowsWhoAsked: also where that is the first it hears of the owner, whose own claim was lost.
func TestSuccessorKnowsWhoAsked(t *testing.T) {
	c := three(t)
	c.cut["n3"] = true
	c.step("n1", Drain{true})
	c.want("n3 hears nothing of it", addrA, "n2")
	c.cut["n3"] = false
	c.step("n2", Drain{true})
	c.want("n3 is asked", addrA, "n3")
	want := []Action{
		Announce{Address: addrA, Term: 3, Cause: CauseHandover, From: "n2"},
		Announce{Address: addrB, Term: 2, Cause: CauseHandover, From: "n2"},
	}
	if diff := cmp.Diff(want, c.actions["n3"], cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("actions of n3 (-want +got):\n%s", diff)
	}
}

// TestOwnerIsSilentWhileItAsks: it is told to be before the successor is asked, and no more once all were in vain.
func TestOwnerIsSilentWhileItAsks(t *testing.T) {
	offered := Offered{Address: addrA, For: 1200 * time.Millisecond}
	equal := cmpopts.EquateComparable(netip.Addr{})
	c := three(t)
	c.step("n1", Drain{true})
	want := []Action{offered, Withdraw{Address: addrA, Term: 1, Cause: CauseHandover}}
	if diff := cmp.Diff(want, c.actions["n1"], equal); diff != "" {
		t.Errorf("actions of a handover (-want +got):\n%s", diff)
	}
	c = newCluster(t, "n1", "n2", "n3").settled(Address{addrA, []string{"n1", "n2", "n3"}, 1, 0})
	for _, n := range []string{"n2", "n3"} {
		c.step(n, Removed{[]netip.Addr{addrA}})
	}
	c.step("n1", Drain{true})
	c.pass(time.Minute)
	c.want("nobody takes it", addrA, "n1")
	if diff := cmp.Diff([]Action{offered, offered}, c.actions["n1"], equal); diff != "" {
		t.Errorf("actions while two are asked in vain (-want +got):\n%s", diff)
	}
}

// TestHandedOverTwiceAtOnce: the node in between is silent from the moment that it asks, however short a time it had the address.
func TestHandedOverTwiceAtOnce(t *testing.T) {
	c := three(t)
	c.step("n1", Drain{true})
	c.pass(148 * time.Millisecond)
	c.step("n2", Eligible{Addresses: []netip.Addr{addrA}, Gate: GateUnhealthy})
	c.want("n2 is not well", addrA, "n3")
	want := []Action{
		Announce{Address: addrA, Term: 2, Cause: CauseHandover, From: "n1"},
		Offered{Address: addrA, For: 1200 * time.Millisecond},
		Withdraw{Address: addrA, Term: 2, Cause: CauseHandover},
	}
	if diff := cmp.Diff(want, c.actions["n2"], cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("actions of n2 (-want +got):\n%s", diff)
	}
}

// TestTakeoverByAnUnfitNodeIsHeard: it asks a better one at once, which may not be able to, and neighbours go on sending to
// the dead node until somebody speaks.
func TestTakeoverByAnUnfitNodeIsHeard(t *testing.T) {
	addresses := []Address{{addrA, []string{"n1", "n2", "n3"}, 1, 0}}
	c := newCluster(t, "n1", "n2", "n3").settled(addresses...)
	c.step("n3", Unjudged{[]netip.Addr{addrA}})
	c.step("n2", Eligible{Addresses: []netip.Addr{addrA}, Gate: GateUnhealthy})
	c.cut["n1"] = true
	c.members()
	c.pass(400 * time.Millisecond)
	c.want("n3 does not know whether it can", addrA, "n2")
	want := []Action{Announce{Address: addrA, Term: 2, Cause: CauseTakeover}}
	if diff := cmp.Diff(want, c.actions["n2"], cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

// TestOwnerSpeaksAgainWhenItsSuccessorIsGone: that one may have announced the address, and neighbours then send to it.
func TestOwnerSpeaksAgainWhenItsSuccessorIsGone(t *testing.T) {
	offered, again := Offered{Address: addrA, For: 1200 * time.Millisecond}, Reannounce{Address: addrA}
	for _, tc := range []struct {
		name   string
		n3     Event
		inVain time.Duration
		want   []Action
	}{
		{"nobody else is better", Eligible{Addresses: []netip.Addr{addrA}, Gate: GateClosed}, 0, []Action{offered, again}},
		{"the next one is mute", Removed{[]netip.Addr{addrA}}, 0, []Action{offered, again}},
		{"it was the second one asked", Removed{[]netip.Addr{addrA}}, 2500 * time.Millisecond, []Action{offered, offered, again}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCluster(t, "n1", "n2", "n3").settled(Address{addrA, []string{"n1", "n2", "n3"}, 1, 0})
			c.step("n3", tc.n3)
			c.cut["n2"] = true // what it says of its claim is lost
			c.step("n1", Drain{true})
			c.pass(tc.inVain)
			c.members()
			c.want("n2 is gone", addrA, "n1")
			if diff := cmp.Diff(tc.want, c.actions["n1"], cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOwnerSpeaksAgainWhenALaterOneHasLetGo: n1 stands still while n2 takes the address over and has to withdraw it.
func TestOwnerSpeaksAgainWhenALaterOneHasLetGo(t *testing.T) {
	c := newCluster(t, "n1", "n2", "n3").settled(Address{addrA, []string{"n1", "n2"}, 1, 0})
	c.cut["n1"] = true
	for _, n := range []string{"n2", "n3"} {
		c.step(n, MembersChanged{Alive: []string{"n2", "n3"}, Voters: c.names})
	}
	c.want("n1 is not told", addrA, "n1", "n2")
	c.step("n2", Eligible{Addresses: []netip.Addr{addrA}, Gate: GateClosed})
	c.cut["n1"] = false
	c.pass(5 * time.Second)
	c.want("n1 goes on", addrA, "n1")
	if diff := cmp.Diff([]Action{Reannounce{addrA}}, c.actions["n1"], cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

// TestFaultOfAllNodesMovesNothing: each finds it out, and its end, in its own time.
func TestFaultOfAllNodesMovesNothing(t *testing.T) {
	addresses := []Address{{addrA, []string{"n1", "n2", "n3"}, 1, 0}}
	gate := func(c *cluster, node string, g Gate) {
		c.step(node, Eligible{Addresses: []netip.Addr{addrA}, Gate: g, Patience: 3 * time.Second})
	}
	c := newCluster(t, "n1", "n2", "n3").settled(addresses...)
	for _, g := range []Gate{GateUnhealthy, GateOpen} {
		for _, n := range []string{"n1", "n3", "n2"} {
			gate(c, n, g)
			c.pass(time.Second)
		}
		c.pass(time.Minute)
		for _, n := range []string{"n3", "n2", "n1"} {
			gate(c, n, GateUnhealthy)
			c.pass(time.Second)
		}
		c.pass(time.Minute)
		for _, n := range []string{"n3", "n2", "n1"} {
			gate(c, n, g)
			c.pass(time.Second)
		}
	}
	if len(c.actions) > 0 {
		t.Errorf("a fault that all nodes have in common: %v", c.actions)
	}
	gate(c, "n1", GateUnhealthy)
	c.pass(2900 * time.Millisecond)
	c.want("n1 alone, and not for long", addrA, "n1")
	c.pass(200 * time.Millisecond)
	c.want("n1 alone", addrA, "n2")
}

// TestADrainingCandidateServesRatherThanNoCandidate: it is one because endpoints are nowhere else. It hands over again when
// there is another, and keeps the address while there is none.
func TestADrainingCandidateServesRatherThanNoCandidate(t *testing.T) {
	c := newCluster(t, "n1", "n2", "n3").settled(Address{addrA, []string{"n1"}, 1, 0})
	c.step("n2", Drain{true})
	for _, n := range []string{"n1", "n3", "n2"} {
		c.step(n, Configured{[]Address{{addrA, []string{"n2"}, 2, 0}}})
	}
	c.pass(time.Second)
	c.want("only n2 may", addrA, "n2")
	c.pass(time.Minute)
	c.want("nobody else may", addrA, "n2")
	for _, n := range c.names {
		c.step(n, Configured{[]Address{{addrA, []string{"n3"}, 3, 0}}})
	}
	c.pass(time.Second)
	c.want("n3 may", addrA, "n3")
}

// TestPatienceIsForOneReasonOnly: another one to give an address away counts at once.
func TestPatienceIsForOneReasonOnly(t *testing.T) {
	for name, reason := range map[string]Event{
		"draining":           Drain{true},
		"no candidate":       Configured{[]Address{{addrA, []string{"n2", "n3"}, 2, 0}}},
		"unhealthy for good": Eligible{Addresses: []netip.Addr{addrA}, Gate: GateUnhealthy},
	} {
		t.Run(name, func(t *testing.T) {
			c := three(t)
			c.step("n1", Eligible{Addresses: []netip.Addr{addrA}, Gate: GateUnhealthy, Patience: time.Hour})
			c.want("patient", addrA, "n1")
			c.step("n1", reason)
			c.want(name, addrA, "n2")
		})
	}
}

// TestTwoVotersByGateway: of two nodes that lose each other the one that reaches
// the gateway stays.
func TestTwoVotersByGateway(t *testing.T) {
	c := newCluster(t, "n1", "n2")
	c.step("n1", Gateway{false})
	c.step("n2", Gateway{true})
	c.settled(Address{addrA, []string{"n1", "n2"}, 1, 0})
	c.want("together", addrA, "n1")
	c.cut["n1"], c.cut["n2"] = true, true
	c.members()
	c.want("apart", addrA, "n2")
}

// TestLeaveIsNoticedAtOnce: who leaves says so, and nobody has to detect it.
func TestLeaveIsNoticedAtOnce(t *testing.T) {
	c := three(t)
	c.step("n1", Leave{})
	c.want("n1 left", addrA, "n2")
	c.want("n1 left", addrB, "n2")
}
