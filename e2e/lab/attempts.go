// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"slices"
	"time"
)

// Attempt is one request of a probe.
type Attempt struct {
	Start, End time.Time
	OK         bool
	By         Answer // who answered; zero if nobody did
	TimedOut   bool   // nobody answered, as opposed to an error at once (refused, unreachable)
	Err        string
}

// Attempts are those of one probe, in the order of their starts. Its methods change nothing.
type Attempts []Attempt

// Failures returns how many requests failed.
func (a Attempts) Failures() int {
	n := 0
	for _, one := range a {
		if !one.OK {
			n++
		}
	}
	return n
}

// Since returns the attempts that began at t or later.
func (a Attempts) Since(t time.Time) Attempts {
	return slices.DeleteFunc(slices.Clone(a), func(one Attempt) bool { return one.Start.Before(t) })
}

// LongestGap returns the longest time without one request that succeeded: between the ends of two successes, from the
// first start to the first success, and from the last success to the last end. With no success it is all the time there
// was, with no attempts 0.
func (a Attempts) LongestGap() time.Duration {
	if len(a) == 0 {
		return 0
	}
	last, end, longest := a[0].Start, a[0].End, time.Duration(0)
	var successes []time.Time
	for _, one := range a {
		if one.Start.Before(last) {
			last = one.Start
		}
		if one.End.After(end) {
			end = one.End
		}
		if one.OK {
			successes = append(successes, one.End)
		}
	}
	slices.SortFunc(successes, time.Time.Compare)
	for _, t := range append(successes, end) {
		longest = max(longest, t.Sub(last))
		last = t
	}
	return longest
}

// Unsettled returns how long after the given moment the last request began that failed: after that time no request
// fails any more. It is 0 if none failed after the moment.
func (a Attempts) Unsettled(moment time.Time) time.Duration {
	longest := time.Duration(0)
	for _, one := range a {
		if !one.OK {
			longest = max(longest, one.Start.Sub(moment))
		}
	}
	return longest
}

// Answered counts the successes by the pod that answered.
func (a Attempts) Answered() map[string]int {
	counts := map[string]int{}
	for _, one := range a {
		if one.OK {
			counts[one.By.Pod]++
		}
	}
	return counts
}
