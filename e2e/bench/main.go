// SPDX-License-Identifier: Apache-2.0

// Command bench measures the product. Each benchmark prints one line of JSON on standard output; what it is doing goes to
// standard error. The labs that benchmarks need are brought up here, one for all that need the same.
//
//	bench                       all but those that run on request only
//	bench -run allocate         those whose name matches, as in go test
//	bench -list                 names, and what each measures
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
)

func main() {
	run := flag.String("run", "", "regular expression that selects benchmarks by name, as in go test; those on request must be named in full")
	list := flag.Bool("list", false, "print the names of the benchmarks and what they measure")
	var o options
	flag.IntVar(&o.runs, "runs", 0, "number of runs of each benchmark; 0: its own default")
	flag.DurationVar(&o.watch, "watch", defaultWatch, "how long the benchmarks of false takeovers watch")
	flag.StringVar(&o.logs, "logs", "", "directory that receives the logs of all processes")
	flag.Parse()
	if err := start(context.Background(), *run, *list, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, pattern string, list bool, o options) error {
	if list {
		return printList(os.Stdout)
	}
	expression, err := regexp.Compile(pattern)
	if err != nil {
		return fmt.Errorf("-run %q: %w", pattern, err)
	}
	chosen := choose(benchmarks(), expression)
	if len(chosen) == 0 {
		return fmt.Errorf("-run %q: no benchmark of this name; -list tells which there are", pattern)
	}
	return runAll(ctx, chosen, o, os.Stdout)
}
