// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"testing"
	"time"

	"github.com/fairlead-io/fairlead/pkg/membership"
)

func TestOutOfReach(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, tc := range []struct {
		name  string
		state membership.State
		since time.Duration
		want  bool
	}{
		{"alive", membership.StateAlive, time.Hour, false},
		{"suspect", membership.StateSuspect, time.Hour, false},
		{"just taken for dead", membership.StateDead, rivalAfter - time.Millisecond, false},
		{"dead for a while", membership.StateDead, rivalAfter, true},
		{"left", membership.StateLeft, time.Hour, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			members := []membership.Member{
				{Name: "n1", State: membership.StateDead}, {Name: "n2", State: tc.state, Since: now.Add(-tc.since)},
			}
			if got := outOfReach(members, "n2", now); got != tc.want {
				t.Errorf("out of reach: %v, want %v", got, tc.want)
			}
		})
	}
	if !outOfReach(nil, "n2", now) {
		t.Error("a node that was never a member counts as within reach")
	}
}
