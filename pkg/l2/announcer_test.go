// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"testing"
	"time"
)

func TestPostponedStepsKeepTheirDistance(t *testing.T) {
	step := func(after time.Duration) Step { return Step{After: after} }
	a := newAnnouncer(Schedule{Burst: []Step{step(0), step(150 * time.Millisecond), step(500 * time.Millisecond)}}, 1000)
	e := &entry{addr: addr("10.9.0.100")}
	a.add([]*entry{e})
	start := e.start
	take := func(at time.Duration, want bool, wait time.Duration) {
		t.Helper()
		got, until := a.pop(start.Add(at))
		if (got != nil) != want || !want && until != wait {
			t.Fatalf("after %v: taken %v, wait %v; want %v, %v", at, got != nil, until, want, wait)
		}
		if want {
			e.step++
			a.schedule(e, start.Add(at))
		}
	}
	take(0, true, 0)
	a.postpone([]*entry{e}, start.Add(time.Second))
	take(200*time.Millisecond, false, 800*time.Millisecond)
	take(time.Second, true, 0)
	take(time.Second, false, 350*time.Millisecond)
	take(1350*time.Millisecond, true, 0)
	take(time.Hour, false, idle)
}
