// SPDX-License-Identifier: Apache-2.0

// Package health probes addresses and judges them by thresholds.
//
// A [Monitor] runs any number of checks: one goroutine knows what is due, and each probe under way has one of its own, of
// which there are no more than [Config].InFlight. The load is steady: checks that are set at once are probed for the first
// time at different moments of their interval, and each interval is a little shorter or longer than the last.
//
// # Verdicts
//
// The first result of a check counts at once, whichever it is, so that nothing waits for a row of probes; before it, the
// verdict is [Unknown]. After that, a verdict changes with as many results in a row as [Thresholds] say. [Tally] is that
// rule, without clock or socket.
//
// The package must not know who uses a verdict, or what an address is for.
package health
