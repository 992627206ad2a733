// SPDX-License-Identifier: Apache-2.0

// Command lab runs a private cloud on this machine, for work by hand:
//
//	lab up [--nodes N] [--product] [--keep]   build one; it lives until Ctrl-C, or with --keep until `lab down`
//	lab exec [--lab ID] HOST COMMAND...       run a command in a host, e.g. `lab exec cp kubectl get nodes`
//	lab env [--lab ID]                        print what there is, as shell variables
//	lab binaries                              build the Kubernetes that labs run, and print where it is
//	lab down [--lab ID | --all]               remove labs; --all also what killed labs have left
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	root := &cobra.Command{
		Use: "lab", Short: "A private cloud out of network namespaces", SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(upCommand(), downCommand(), execCommand(), envCommand(), binariesCommand())
	if err := root.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}
