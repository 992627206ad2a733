// SPDX-License-Identifier: Apache-2.0

package health

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// verdicts runs results (+ passed, - failed) and returns the states after each: ? unknown, h healthy, u unhealthy.
func verdicts(results string, limits Thresholds) string {
	var t Tally
	var b strings.Builder
	for _, r := range results {
		t = t.Add(r == '+', limits)
		b.WriteByte(t.State.String()[0])
	}
	return b.String()
}

func TestTally(t *testing.T) {
	for _, tc := range []struct {
		name          string
		limits        Thresholds
		results, want string
	}{
		{"the first pass counts at once", Thresholds{3, 3}, "+", "h"},
		{"the first failure counts at once", Thresholds{3, 3}, "-", "u"},
		{"three failures in a row", Thresholds{3, 3}, "+---", "hhhu"},
		{"a pass between starts the row anew", Thresholds{3, 3}, "+--+--+", "hhhhhhh"},
		{"three passes in a row", Thresholds{3, 3}, "-+++", "uuuh"},
		{"a failure between starts the row anew", Thresholds{3, 3}, "-++-++-", "uuuuuuu"},
		{"thresholds of their own", Thresholds{Healthy: 1, Unhealthy: 2}, "+--+--", "hhuhhu"},
		{"below one is one", Thresholds{}, "+-+", "huh"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := verdicts(tc.results, tc.limits); got != tc.want {
				t.Errorf("%s gives %s, want %s", tc.results, got, tc.want)
			}
		})
	}
}

// TestTallyNeedsARow: a verdict other than the first changes only after as many results of the other kind in a row as the
// threshold says, and then always does.
func TestTallyNeedsARow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Thresholds{Healthy: rapid.IntRange(1, 5).Draw(t, "healthy"), Unhealthy: rapid.IntRange(1, 5).Draw(t, "unhealthy")}
		var tally Tally
		passes, failures := 0, 0
		for i, passed := range rapid.SliceOfN(rapid.Bool(), 1, 60).Draw(t, "results") {
			before := tally.State
			if tally = tally.Add(passed, limits); passed {
				passes, failures = passes+1, 0
			} else {
				passes, failures = 0, failures+1
			}
			want := before
			switch {
			case before == Unknown && passed, before == Unhealthy && passes >= limits.Healthy:
				want = Healthy
			case before == Unknown, before == Healthy && failures >= limits.Unhealthy:
				want = Unhealthy
			}
			if tally.State != want {
				t.Fatalf("result %d: %s became %s, want %s", i, before, tally.State, want)
			}
		}
	})
}
