// SPDX-License-Identifier: Apache-2.0

// Command kubectl-fairlead is a plugin of kubectl that answers what operators ask: which node has an address and why, what
// is wrong, and which nodes lack what. As "kubectl fairlead" it takes the flags by which kubectl finds a cluster.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// The exit codes.
const (
	exitError   = 1 // the question could not be asked or answered
	exitProblem = 2 // the answer is that something is wrong
)

// errProblem tells that a command has shown a problem.
var errProblem = errors.New("something is wrong")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	err := newCommand(streams).ExecuteContext(ctx)
	stop()
	switch {
	case errors.Is(err, errProblem):
		os.Exit(exitProblem)
	case err != nil:
		fmt.Fprintln(streams.ErrOut, "error:", err)
		os.Exit(exitError)
	}
}
