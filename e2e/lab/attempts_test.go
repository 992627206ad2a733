// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"testing"
	"time"
)

// timeline makes attempts from marks, one every 10 ms, each 1 ms long: '+' succeeds, '-' fails, ' ' is none.
func timeline(marks string) (Attempts, time.Time) {
	zero := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var a Attempts
	for i, mark := range marks {
		start := zero.Add(time.Duration(i) * 10 * time.Millisecond)
		if mark != ' ' {
			a = append(a, Attempt{Start: start, End: start.Add(time.Millisecond), OK: mark == '+', By: Answer{Pod: "p"}})
		}
	}
	return a, zero
}

func TestAttempts(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name      string
		marks     string
		failures  int
		gap       time.Duration
		unsettled time.Duration // from 20 ms on
	}{
		{"none", "", 0, 0, 0},
		{"all succeed", "++++++", 0, 10 * ms, 0},
		{"one fails between", "+++-++", 1, 20 * ms, 10 * ms},
		{"a hole without attempts counts", "++    ++", 0, 50 * ms, 0},
		{"failures at the end count up to the last end", "+++---", 3, 30 * ms, 30 * ms},
		{"failures at the start count from the first start", "---+", 3, 31 * ms, 0},
		{"no success", "----", 4, 31 * ms, 10 * ms},
		{"single failures after the gap leave it as it is", "++---++-+", 4, 40 * ms, 50 * ms},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, zero := timeline(tt.marks)
			if got := a.Failures(); got != tt.failures {
				t.Errorf("%d failures, want %d", got, tt.failures)
			}
			if got := a.LongestGap(); got != tt.gap {
				t.Errorf("longest gap %s, want %s", got, tt.gap)
			}
			if got := a.Unsettled(zero.Add(20 * ms)); got != tt.unsettled {
				t.Errorf("unsettled for %s, want %s", got, tt.unsettled)
			}
		})
	}
}

func TestAttemptsOverlap(t *testing.T) {
	a, zero := timeline("+-+")
	// A slow success that began before the others and ended last still counts at its end.
	a = append(a, Attempt{Start: zero.Add(5 * time.Millisecond), End: zero.Add(40 * time.Millisecond), OK: true})
	if got, want := a.LongestGap(), 20*time.Millisecond; got != want {
		t.Errorf("longest gap %s, want %s", got, want)
	}
	if got := len(a.Since(zero.Add(10 * time.Millisecond))); got != 2 {
		t.Errorf("%d attempts from 10 ms on, want 2", got)
	}
	if got := a.Answered()["p"]; got != 2 {
		t.Errorf("pod p answered %d times, want 2", got)
	}
}
