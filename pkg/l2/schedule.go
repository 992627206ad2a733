// SPDX-License-Identifier: Apache-2.0

package l2

import "time"

// Form is the shape of a gratuitous ARP packet. Stations differ in which of
// them they believe. Neighbour discovery knows one shape only.
type Form uint8

const (
	// FormRequest is the ARP Announcement of RFC 5227 §2.3.
	FormRequest Form = iota
	// FormReply is the unasked broadcast reply.
	FormReply
)

// Step is one packet of the burst that follows a takeover.
type Step struct {
	// After is the time since the takeover. Steps are in rising order.
	After time.Duration
	Form  Form
}

// Schedule says when an address is announced without being asked.
type Schedule struct {
	// Burst follows each takeover.
	Burst []Step
	// Repeat is the time between announcements after the burst, for ever:
	// switches forget a station that has not sent for a while (300 s is the
	// usual default). Zero: never again.
	Repeat time.Duration
	// Jitter, 0 to 1, is the part of Repeat by which each wait is shortened
	// or lengthened at random.
	Jitter float64
}

// DefaultSchedule announces at once in both forms, twice more within the
// second for lost packets, then after 1.1 and 2.2 s: Linux before 4.13 and
// others let nothing replace an entry younger than its locktime (1 s), and
// one of the three falls outside whenever the entry was last confirmed. It
// goes on every minute.
func DefaultSchedule() Schedule {
	return Schedule{
		Burst: []Step{
			{0, FormRequest},
			{10 * time.Millisecond, FormReply},
			{150 * time.Millisecond, FormRequest},
			{500 * time.Millisecond, FormReply},
			{1100 * time.Millisecond, FormRequest},
			{1110 * time.Millisecond, FormReply},
			{2200 * time.Millisecond, FormRequest},
			{2210 * time.Millisecond, FormReply},
		},
		Repeat: time.Minute,
		Jitter: 0.2,
	}
}

// forNDP drops the steps that differ from their predecessor in form only:
// NDP has one form.
func (s Schedule) forNDP() Schedule {
	kept := s
	kept.Burst = nil
	for _, step := range s.Burst {
		n := len(kept.Burst)
		if n > 0 && step.After-kept.Burst[n-1].After < 50*time.Millisecond {
			continue
		}
		kept.Burst = append(kept.Burst, Step{After: step.After})
	}
	return kept
}

// next returns step n of an address taken over at start: its form, and when
// it is due. Steps beyond the burst count from prev, the time of the step
// before, and alternate in form. random is in [0, 1). ok is false when there
// is no such step.
func (s Schedule) next(n int, start, prev time.Time, random float64) (form Form, due time.Time, ok bool) {
	if n < len(s.Burst) {
		return s.Burst[n].Form, start.Add(s.Burst[n].After), true
	}
	if s.Repeat <= 0 {
		return 0, time.Time{}, false
	}
	wait := float64(s.Repeat) * (1 + s.Jitter*(2*random-1))
	return Form((n - len(s.Burst)) % 2), prev.Add(time.Duration(wait)), true
}
