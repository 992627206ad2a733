// SPDX-License-Identifier: Apache-2.0

// Command cluster runs a kubeadm cluster on this machine, for work by hand:
//
//	cluster up                        build one, until Ctrl-C; its nodes wait for a cloud controller manager
//	cluster exec MACHINE COMMAND...   run a command on a machine of the only cluster that runs: cp, n1 or n2
//	cluster programs                  build the programs of clusters, and print where they are
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fairlead-io/fairlead/e2e/kubeadm"
	"github.com/fairlead-io/fairlead/e2e/kubeadm/machine"
	"github.com/fairlead-io/fairlead/e2e/lab"
)

func main() {
	root := &cobra.Command{
		Use: "cluster", Short: "A kubeadm cluster in namespaces", SilenceUsage: true, SilenceErrors: true,
	}
	enter := &cobra.Command{
		Use: "exec MACHINE COMMAND...", Short: "Run a command on a machine", Args: cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error { return enter(args[0], args[1:]) },
	}
	enter.Flags().SetInterspersed(false)
	root.AddCommand(enter, &cobra.Command{
		Use: "up", Short: "Build a cluster and run it until Ctrl-C", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return up(cmd.Context()) },
	}, &cobra.Command{
		Use: "programs", Short: "Build the programs of clusters", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return programs(cmd.Context()) },
	})
	if err := root.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// up runs a cluster. Its lab catches SIGINT and SIGTERM, removes all it has made and lets the signal end the process.
func up(ctx context.Context) error {
	c, err := kubeadm.Start(ctx, kubeadm.Config{})
	if err != nil {
		return err
	}
	if _, err := c.Up(ctx, c.OwnAddresses); err != nil {
		return errors.Join(err, c.Stop())
	}
	fmt.Println("the cluster is up: cluster exec cp kubectl get nodes")
	select {}
}

func programs(ctx context.Context) error {
	root, err := lab.FindRoot()
	if err != nil {
		return err
	}
	dirs, err := kubeadm.Programs(ctx, root, os.Stderr)
	for _, dir := range dirs {
		fmt.Println(dir)
	}
	return err
}

// enter turns the process into the command, on the machine.
func enter(name string, argv []string) error {
	running, err := lab.Running()
	if err != nil {
		return err
	}
	var found []machine.Spec
	for _, state := range running {
		if spec, err := machine.ReadSpec(filepath.Join(state.Dir, "machines", name)); err == nil {
			found = append(found, spec)
		}
	}
	if len(found) != 1 {
		return fmt.Errorf("%d running clusters have a machine %q: expected one", len(found), name)
	}
	pid, err := found[0].Pid()
	if err != nil {
		return err
	}
	argv = append(kubeadm.Enter(pid, found[0].Path), argv...)
	program, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return syscall.Exec(program, argv, os.Environ())
}
