// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
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
	run         measure
}

// measure is what a benchmark does.
type measure func(ctx context.Context, e *env) (figure, error)

// benchmarks returns all there are. Those that need the same lab stand together, and share it.
func benchmarks() []benchmark {
	control := need{nodes: 3}
	return append([]benchmark{
		{name: "ipam_claim", about: "allocate and release in the in-memory index, by size of the pool", run: ipamClaim},
		{name: "ipam_million", about: "1,000,000 allocations out of a /8", run: ipamMillion},
		{name: "settings_parse", about: "read a Service with 30 annotations", run: settingsParse},
		{name: "allocate_idle", about: "Service created to address in its status, one at a time", lab: control, run: allocateIdle},
		{name: "allocate_burst", about: "500 Services created at once", lab: control, run: burst(500, 5)},
		{name: "allocate_burst_1000", about: "1,000 Services, 500 created at once", lab: control, run: burst(1000, 3)},
		{name: "allocate_burst_5000", about: "5,000 Services, 500 created at once", lab: control, run: burst(5000, 1)},
	}, append(layer2(), bgp()...)...)
}

// printList writes the names of all benchmarks and what they measure.
func printList(out io.Writer) error {
	for _, b := range benchmarks() {
		about := b.about
		if b.onRequest {
			about += " (on request)"
		}
		if _, err := fmt.Fprintf(out, "%-30s %s\n", b.name, about); err != nil {
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
	selected []string
}

// say tells on standard error what the benchmark does.
func (e *env) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", e.name, fmt.Sprintf(format, args...))
}

// runAll runs the benchmarks and prints a line for each as soon as it is there. One that fails leaves the others, which get
// a lab of their own; the error names all that failed.
func runAll(ctx context.Context, chosen []benchmark, o options, out io.Writer) error {
	var selected []string
	for _, b := range chosen {
		selected = append(selected, b.name)
	}
	var shared *cluster
	defer func() { shared.stop() }()
	var failed []error
	for _, b := range chosen {
		e := &env{options: o, name: b.name, selected: selected}
		var err error
		if shared, err = e.prepare(ctx, b.lab, shared); err == nil {
			err = e.runOne(ctx, b, out)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", b.name, err))
			e.say("failed: %v", err)
			shared.stop()
			shared = nil
		}
	}
	return errors.Join(failed...)
}

// prepare brings up the lab that a benchmark needs, unless the shared one is such, which it stops otherwise.
func (e *env) prepare(ctx context.Context, n need, shared *cluster) (*cluster, error) {
	if n.nodes == 0 {
		return shared, nil
	}
	if shared == nil || shared.need != n {
		shared.stop()
		var err error
		if shared, err = startCluster(ctx, n, e.options, e.say); err != nil {
			return nil, err
		}
	}
	e.cluster = shared
	return shared, nil
}

// runOne runs a benchmark and prints its line.
func (e *env) runOne(ctx context.Context, b benchmark, out io.Writer) error {
	load, err := loadAverage()
	if err != nil {
		return err
	}
	f, err := b.run(ctx, e)
	if err != nil {
		return err
	}
	f.Name, f.Load = b.name, load
	if f.LoadAfter, err = loadAverage(); err != nil {
		return err
	}
	return f.print(out)
}
