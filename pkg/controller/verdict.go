// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"maps"
	"slices"
	"time"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// quietAfterTakeBack is how long a node whose death was taken back is not declared dead again: whatever made its agents
// wrong once may do so again.
const quietAfterTakeBack = 10 * time.Minute

// bootTold is how long after a dead node's Lease was renewed the mark is taken back. A kubelet that starts renews the Lease
// and tells which boot of the machine it runs in, in no certain order. One that has lived on needs no such delay, but cannot
// be told from it before. The next renewal, after 10 s, would be late for it: by then it has set its pods right by itself.
const bootTold = 4 * time.Second

// brake bounds the share of nodes with an Announcer, stopped or not, that may be declared dead at a time, as 1 in brake: when
// more seem to be, it is rather the network between the agents that is broken.
const brake = 3

// lostByMajority returns the nodes that more than half of all agents name as unreachable, sorted. Agents that were stopped
// for good are none of them. Those that are lost themselves are, and so cannot be outvoted by being lost; but what they name
// does not count: they saw it from where nobody else is, or before they died.
func lostByMajority(announcers []*v1alpha1.Announcer, now time.Time) []string {
	agents := slices.DeleteFunc(slices.Clone(announcers), func(a *v1alpha1.Announcer) bool { return v1alpha1.StoppedForGood(a, now) })
	lost := namedBy(agents, len(agents)/2)
	witnesses := slices.DeleteFunc(slices.Clone(agents), func(a *v1alpha1.Announcer) bool { return slices.Contains(lost, a.Name) })
	return slices.DeleteFunc(namedBy(witnesses, len(agents)/2), func(node string) bool {
		return !slices.ContainsFunc(announcers, func(a *v1alpha1.Announcer) bool { return a.Name == node })
	})
}

// namedBy returns the nodes that more than so many agents name as unreachable, sorted. That they name themselves is ignored.
func namedBy(agents []*v1alpha1.Announcer, half int) []string {
	votes := map[string]int{}
	for _, agent := range agents {
		for _, node := range agent.Status.Unreachable {
			if node != agent.Name {
				votes[node]++
			}
		}
	}
	maps.DeleteFunc(votes, func(_ string, count int) bool { return count <= half })
	return slices.Sorted(maps.Keys(votes))
}

// deaths is what is held of dead nodes. It is a value that only one goroutine changes.
type deaths struct {
	dead map[string]death
	// quiet holds until when a node that came back is not declared dead again.
	quiet map[string]time.Time
	// tried are the nodes that had their turn in a round of marking, which may end before all had.
	tried map[string]bool
	// spared are the lost nodes that were said to keep their endpoints since more than a third of all nodes seem dead.
	spared map[string]bool
}

// death is what is held of one node that was declared dead.
type death struct {
	renewed time.Time // of its Lease: the renewal that was the last one when it was declared dead
	back    time.Time // when another renewal was seen first; zero while none was
	marked  bool      // all of its pods that are to be marked are
}

func newDeaths() *deaths {
	return &deaths{dead: map[string]death{}, quiet: map[string]time.Time{}, tried: map[string]bool{}, spared: map[string]bool{}}
}

// unmarked returns which of the lost nodes have pods to be marked now: none while more than a third of all nodes are lost
// or held for dead and not back (braked is then true), and none that has renewed its Lease since or came back less than ten
// minutes ago.
func (d *deaths) unmarked(lost []string, nodes int, now time.Time) (unmarked []string, braked bool) {
	gone := 0
	for _, held := range d.dead {
		if held.back.IsZero() {
			gone++
		}
	}
	for _, node := range lost {
		held, is := d.dead[node]
		if !is {
			gone++
		}
		if !held.marked && held.back.IsZero() && !now.Before(d.quiet[node]) {
			unmarked = append(unmarked, node)
		}
	}
	if gone*brake > nodes {
		return nil, true
	}
	return unmarked, false
}

// record notes that a node was declared dead, and the last renewal of its Lease.
func (d *deaths) record(node string, renewed time.Time) { d.dead[node] = death{renewed: renewed} }

// holds tells whether a node was declared dead.
func (d *deaths) holds(node string) bool {
	_, is := d.dead[node]
	return is
}

// markedAll notes that nothing is left to be marked on a dead node.
func (d *deaths) markedAll(node string) {
	held := d.dead[node]
	held.marked = true
	d.dead[node] = held
}

// takeBack notes that a node lives.
func (d *deaths) takeBack(node string, now time.Time) {
	delete(d.dead, node)
	d.quiet[node] = now.Add(quietAfterTakeBack)
}

// recovered tells whether the Lease of a dead node was renewed since its death was declared, and long enough ago that its
// kubelet has told the boot it runs in. Only a change counts, not the time in the Lease, which is by the node's own clock.
func (d *deaths) recovered(node string, renewed, now time.Time) bool {
	held, dead := d.dead[node]
	if !dead || renewed.Equal(held.renewed) {
		return false
	}
	if held.back.IsZero() {
		held.back = now
		d.dead[node] = held
	}
	return now.Sub(held.back) >= bootTold
}
