// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// summary is the loop's state for the Announcer object, health and metrics.
type summary struct {
	owned, members, voters int
	quorate, settled       bool
}

// publish makes the loop's state known to the other goroutines.
func (a *agent) publish() {
	now := summary{
		owned: a.announcing, members: len(a.alive) + 1, voters: len(a.voters),
		quorate: a.machine.Quorate(), settled: a.settled,
	}
	a.beat.Store(a.now().UnixNano())
	if old := a.summary.Load(); old != nil && *old == now {
		return
	}
	a.summary.Store(&now)
	a.metrics.owned.Set(float64(now.owned))
	a.metrics.members.Set(float64(now.members))
	a.metrics.voters.Set(float64(now.voters))
	a.metrics.quorate.Set(map[bool]float64{true: 1}[now.quorate])
}

// read returns what was last published.
func (a *agent) read() summary {
	if s := a.summary.Load(); s != nil {
		return *s
	}
	return summary{}
}

// readyCondition tells whether the agent takes part in announcing, for the Announcer object.
func readyCondition(s summary) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse}
	switch {
	case !s.settled:
		c.Reason, c.Message = "Starting", "the announcer has not met the others yet"
	case !s.quorate:
		c.Reason, c.Message = v1alpha1.ReasonMinority, "the announcer does not see a majority of the others and announces nothing"
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, "TakingPart", "the announcer sees a majority"
	}
	return c
}
