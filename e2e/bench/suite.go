// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"
)

// options are the same for all benchmarks.
type options struct {
	runs  int           // 0: each benchmark's own number
	watch time.Duration // of l2_false_takeover
	logs  string
}

// runsOr returns the number of runs asked for, or else the benchmark's own.
func (o options) runsOr(own int) int {
	if o.runs > 0 {
		return o.runs
	}
	return own
}

// benchmark measures one figure.
type benchmark struct {
	name, about string
	lab         need
	onRequest   bool // takes so long that it runs only when its name is given
	run         func(ctx context.Context, e *env) (figure, error)
}

// benchmarks returns all there are. Those that need the same lab stand together, and share it.
func benchmarks() []benchmark {
	control, segment3, segment9 := need{nodes: 3}, need{nodes: 3, backends: true}, need{nodes: 9, backends: true}
	return []benchmark{
		{name: "ipam_claim", about: "allocate and release in the in-memory index, by size of the pool", run: ipamClaim},
		{name: "ipam_million", about: "1,000,000 allocations out of a /8", run: ipamMillion},
		{name: "allocate_idle", about: "Service created to address in its status, one at a time", lab: control, run: allocateIdle},
		{name: "allocate_burst", about: "500 Services created at once", lab: control, run: burst(500, 5)},
		{name: "allocate_burst_1000", about: "1,000 Services created at once", lab: control, run: burst(1000, 3)},
		{name: "allocate_burst_5000", about: "5,000 Services created at once", lab: control, onRequest: true, run: burst(5000, 3)},
		{name: "l2_failover", about: "node crash: longest time without an answer", lab: segment3, run: failover(idle)},
		{name: "l2_recovery", about: "node crash: time until no request fails", lab: segment3, run: recovery},
		{name: "l2_handover", about: "SIGTERM of the announcer: requests that failed", lab: segment3, run: handover},
		{name: "l2_failover_loaded", about: "node crash with all cores loaded", lab: segment3, run: failover(loaded)},
		{name: "l2_false_takeover", about: "takeovers nobody asked for, all cores loaded", lab: segment3, run: falseTakeover},
		{name: "l2_failover_9", about: "node crash with 9 nodes", lab: segment9, run: failover(idle)},
		{name: "l2_failover_9_loaded", about: "node crash with 9 nodes, all cores loaded", lab: segment9, run: failover(loaded)},
		{name: "keepalived_1s", about: "reference: keepalived with adverts each second", lab: need{nodes: 3, backends: true, bare: true}, run: keepalived("1")},
		{name: "keepalived_100ms", about: "reference: keepalived with adverts each 100 ms", lab: need{nodes: 3, backends: true, bare: true}, run: keepalived("0.1")},
		{name: "l2_arp", about: "10,000 addresses on one node: ARP replies, CPU, memory", lab: need{nodes: 1, bare: true}, run: manyAddresses},
	}
}

// printList writes the names of all benchmarks and what they measure.
func printList(out io.Writer) error {
	for _, b := range benchmarks() {
		about := b.about
		if b.onRequest {
			about += " (on request)"
		}
		if _, err := fmt.Fprintf(out, "%-22s %s\n", b.name, about); err != nil {
			return err
		}
	}
	return nil
}

// choose returns the benchmarks whose name the expression matches anywhere, as in go test. Those that run on request must
// be named in full.
func choose(all []benchmark, expression *regexp.Regexp) []benchmark {
	var chosen []benchmark
	for _, b := range all {
		at := expression.FindStringIndex(b.name)
		if at != nil && (!b.onRequest || at[1]-at[0] == len(b.name)) {
			chosen = append(chosen, b)
		}
	}
	return chosen
}

// env is what a benchmark works with.
type env struct {
	options
	*cluster        // nil for a benchmark without a lab
	name     string // of the benchmark
	selected map[string]bool
}

// say tells on standard error what the benchmark does.
func (e *env) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", e.name, fmt.Sprintf(format, args...))
}

// runAll runs the benchmarks and prints a line for each as soon as it is there. The first error ends it.
func runAll(ctx context.Context, chosen []benchmark, o options, out io.Writer) error {
	selected := map[string]bool{}
	for _, b := range chosen {
		selected[b.name] = true
	}
	var shared *cluster
	defer func() { shared.stop() }()
	for _, b := range chosen {
		e := &env{options: o, name: b.name, selected: selected}
		if b.lab.nodes > 0 {
			if shared == nil || shared.need != b.lab {
				shared.stop()
				var err error
				if shared, err = startCluster(ctx, b.lab, o, e.say); err != nil {
					return fmt.Errorf("%s: %w", b.name, err)
				}
			}
			e.cluster = shared
		}
		load, err := loadAverage()
		if err != nil {
			return err
		}
		f, err := b.run(ctx, e)
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		f.Name, f.Load = b.name, load
		if err := f.print(out); err != nil {
			return err
		}
	}
	return nil
}
