// SPDX-License-Identifier: Apache-2.0

// Command demo shows the product at work in a lab: a Service gets an address, clients reach it, the node that announces it
// goes away, and the traffic moves. Progress goes to standard error; the last line of standard output is one of JSON.
//
//	demo           and clean up
//	demo -keep     and leave the lab running, until Ctrl-C
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
)

func main() {
	keep := flag.Bool("keep", false, "leave the lab running, and tell how to look around")
	nodes := flag.Int("nodes", 3, "number of nodes, 3 to 80")
	logs := flag.String("logs", "", "directory that receives the logs of all processes")
	flag.Parse()
	if err := show(context.Background(), options{keep: *keep, nodes: *nodes, logs: *logs}); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}
