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

// brake bounds the share of nodes that may be declared dead at a time, as 1 in brake: when more seem to be, it is rather
// the network between the agents that is broken.
const brake = 3

// lostByMajority returns the nodes that more than half of all agents name as unreachable, sorted. The agents of lost nodes
// count in the whole, and so cannot be outvoted by being lost.
func lostByMajority(announcers []*v1alpha1.Announcer) []string {
	votes := map[string]int{}
	known := map[string]bool{}
	for _, announcer := range announcers {
		known[announcer.Name] = true
		for _, node := range announcer.Status.Unreachable {
			if node != announcer.Name {
				votes[node]++
			}
		}
	}
	var lost []string
	for _, node := range slices.Sorted(maps.Keys(votes)) {
		if known[node] && votes[node]*2 > len(announcers) {
			lost = append(lost, node)
		}
	}
	return lost
}

// deaths is what is held of dead nodes. It is a value that only one goroutine changes.
type deaths struct {
	// dead holds the nodes declared dead, with the renewal of the Lease that was the last one then.
	dead map[string]time.Time
	// quiet holds until when a node that came back is not declared dead again.
	quiet map[string]time.Time
}

func newDeaths() *deaths {
	return &deaths{dead: map[string]time.Time{}, quiet: map[string]time.Time{}}
}

// declare returns which of the lost nodes are to be declared dead now: none while more than a third of all nodes are lost
// (braked is then true), and none that came back less than ten minutes ago.
func (d *deaths) declare(lost []string, nodes int, now time.Time) (declared []string, braked bool) {
	if len(lost)*brake > nodes {
		return nil, true
	}
	for _, node := range lost {
		if _, is := d.dead[node]; is || now.Before(d.quiet[node]) {
			continue
		}
		declared = append(declared, node)
	}
	return declared, false
}

// record notes that a node was declared dead, and the last renewal of its Lease.
func (d *deaths) record(node string, renewed time.Time) { d.dead[node] = renewed }

// takeBack notes that a node lives.
func (d *deaths) takeBack(node string, now time.Time) {
	delete(d.dead, node)
	d.quiet[node] = now.Add(quietAfterTakeBack)
}

// recovered tells whether the Lease of a dead node was renewed since its death was declared. Only a change counts, not
// the time in the Lease, which is by the node's own clock.
func (d *deaths) recovered(node string, renewed time.Time) bool {
	last, dead := d.dead[node]
	return dead && !renewed.Equal(last)
}
