// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"slices"
	"testing"
	"time"
)

// TestReturnSetsNobodyAgainstOthers: a node that was cut off for long holds all others to be dead. When it is back, it
// says so of members that hear each other all the time.
func TestReturnSetsNobodyAgainstOthers(t *testing.T) {
	nodes := group(t, 5, calm)
	alone, others := nodes[0], nodes[1:]
	for range 4 {
		awaitHearts(t, nodes)
		for _, x := range nodes {
			x.forgetEvents()
		}
		part(nodes[:1], others)
		for _, x := range others {
			x.await(t, Failed, alone.name)
		}
		until(t, "memberlist gives up the others", func() bool { return alone.list.NumMembers() == 1 })
		heal(nodes)
		awaitHearts(t, nodes)
		until(t, "memberlist has all again", func() bool {
			return !slices.ContainsFunc(nodes, func(x *node) bool { return x.list.NumMembers() != len(nodes) })
		})
		for _, x := range others {
			for _, y := range others {
				if e, ok := x.find(of(Failed, y.name)); ok {
					t.Errorf("%s holds %s to have failed, by %s, although it hears it", x.name, y.name, e.Cause)
				}
			}
		}
	}
}

// accused is who is in dispute in the simulation.
const accused = "n02"

// conceding puts accused in dispute at every other, and returns when each conceded within d.
func (s *sim) conceding(d time.Duration) map[string]time.Duration {
	x, start, out := subject{accused, s.nodes[accused].boot}, s.now, map[string]time.Duration{}
	for _, n := range s.without(accused) {
		s.nodes[n].d.dispute([]subject{x}, s.now)
	}
	s.run(d)
	for _, n := range s.without(accused) {
		if at, ok := s.nodes[n].conceded[accused]; ok {
			out[n] = at.Sub(start)
		}
	}
	return out
}

func TestWhoIsHeardStaysInDispute(t *testing.T) {
	for _, n := range []int{2, 3, 9, 100} {
		s := newSim(n, 1)
		s.run(500 * time.Millisecond)
		if got := s.conceding(longestDispute - time.Millisecond); len(got) > 0 {
			t.Errorf("%d members: conceded although it answers: %v", n, got)
		}
		for _, x := range s.without(accused) {
			if h := s.nodes[x].history; len(h) > 0 {
				t.Errorf("%d members: %s pronounced verdicts on %v", n, x, h)
			}
		}
		s.run(2 * simInterval)
		for _, x := range s.without(accused) {
			if _, ok := s.nodes[x].conceded[accused]; !ok {
				t.Errorf("%d members: %s contradicts for longer than %s", n, x, longestDispute)
			}
		}
	}
}

// giveUp is how long a member may be contradicted that is silent.
const giveUp = simMisses*simInterval + simInterval/4 + simInterval

func TestDisputeDelaysNoVerdict(t *testing.T) {
	for _, n := range []int{3, 9, 100} {
		s := newSim(n, 1)
		s.run(500 * time.Millisecond)
		at := s.kill(accused)
		conceded := s.conceding(giveUp)
		for _, x := range s.without(accused) {
			failed, verdict := s.nodes[x].failed[accused]
			if _, ok := conceded[x]; !ok && (!verdict || failed.Sub(at) > giveUp) {
				t.Errorf("%d members: %s still contradicts memberlist, which is right, after %s", n, x, giveUp)
			}
		}
	}
}

// TestWhoDoesNotAnswerIsConceded: nobody seconds the only node that cannot reach a member; it has memberlist's word.
func TestWhoDoesNotAnswerIsConceded(t *testing.T) {
	s := newSim(9, 1)
	s.run(500 * time.Millisecond)
	s.lost = func(a, b string) bool { return a == accused && b == "n07" || a == "n07" && b == accused }
	conceded := s.conceding(time.Second)
	if took, ok := conceded["n07"]; len(conceded) != 1 || !ok || took > giveUp {
		t.Errorf("conceded by %v, want by n07 within %s", conceded, giveUp)
	}
}

func TestWhoWasNeverHeardCanRefuteByGossip(t *testing.T) {
	s := newSim(5, 1)
	s.lost = func(a, b string) bool { return a == accused || b == accused }
	s.run(5 * time.Second)
	for x, took := range s.conceding(time.Second) {
		if least := s.nodes[x].d.refutation(); took < least || took > least+simInterval {
			t.Errorf("%s believes gossip after %s, want after %s", x, took, least)
		}
	}
	for _, x := range s.without(accused) {
		if _, ok := s.nodes[x].conceded[accused]; !ok {
			t.Errorf("%s never believes gossip, and has nothing else", x)
		}
		delete(s.nodes[x].conceded, accused)
		s.nodes[x].d.dispute(nil, s.now)
	}
	s.run(time.Second)
	for _, x := range s.without(accused) {
		if _, ok := s.nodes[x].conceded[accused]; ok {
			t.Errorf("%s concedes what was refuted", x)
		}
	}
}
