// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/vishvananda/netns"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// choose returns the lab with the given number, or for -1 the only one that runs.
func choose(id int) (lab.State, error) {
	running, err := lab.Running()
	if err != nil {
		return lab.State{}, err
	}
	if id < 0 {
		if len(running) == 1 {
			return running[0], nil
		}
		return lab.State{}, fmt.Errorf("%d labs are running; say which one with --lab: %v", len(running), numbers(running))
	}
	if i := slices.IndexFunc(running, func(s lab.State) bool { return s.ID == id }); i >= 0 {
		return running[i], nil
	}
	return lab.State{}, fmt.Errorf("no lab %d is running; there are %v", id, numbers(running))
}

func numbers(running []lab.State) []int {
	ids := []int{}
	for _, s := range running {
		ids = append(ids, s.ID)
	}
	return ids
}

func execCommand() *cobra.Command {
	id := -1
	cmd := &cobra.Command{
		Use: "exec HOST COMMAND...", Short: "Run a command in a host", Args: cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			state, err := choose(id)
			if err != nil {
				return err
			}
			return enter(state, args[0], args[1:])
		},
	}
	cmd.Flags().IntVar(&id, "lab", -1, "number of the lab; not needed when there is one")
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// enter turns the process into the command, inside the host. The lab's programs are on its PATH, and kubectl finds the
// administrator's kubeconfig.
func enter(state lab.State, host string, argv []string) error {
	name, ok := state.Hosts[host]
	if !ok {
		return fmt.Errorf("lab %d has no host %q", state.ID, host)
	}
	path := strings.Join(append(state.Programs, os.Getenv("PATH")), ":")
	if err := errors.Join(os.Setenv("PATH", path), os.Setenv("KUBECONFIG", state.Kubeconfig)); err != nil {
		return err
	}
	program, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	runtime.LockOSThread() // for good: exec keeps the namespace of this thread
	ns, err := netns.GetFromName(name)
	if err != nil {
		return fmt.Errorf("open the namespace of host %q: %w", host, err)
	}
	if err := netns.Set(ns); err != nil {
		return fmt.Errorf("enter host %q: %w", host, err)
	}
	return syscall.Exec(program, argv, os.Environ())
}

func envCommand() *cobra.Command {
	id := -1
	cmd := &cobra.Command{
		Use: "env", Short: "Print a lab's state as shell variables", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := choose(id)
			if err != nil {
				return err
			}
			fmt.Printf("export FAIRLEAD_LAB=%d\nexport FAIRLEAD_LAB_DIR=%s\nexport KUBECONFIG=%s\nexport PATH=%s:$PATH\n",
				s.ID, s.Dir, s.Kubeconfig, strings.Join(s.Programs, ":"))
			for _, host := range slices.Sorted(maps.Keys(s.Hosts)) {
				fmt.Printf("# host %s: ip netns exec %s\n", host, s.Hosts[host])
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&id, "lab", -1, "number of the lab; not needed when there is one")
	return cmd
}

func downCommand() *cobra.Command {
	id, all := -1, false
	cmd := &cobra.Command{
		Use: "down", Short: "Remove labs", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if all {
				return downAll(cmd.Context())
			}
			s, err := choose(id)
			if err != nil {
				return err
			}
			return down(cmd.Context(), s)
		},
	}
	cmd.Flags().IntVar(&id, "lab", -1, "number of the lab; not needed when there is one")
	cmd.Flags().BoolVar(&all, "all", false, "all labs, and what killed ones have left")
	return cmd
}

func downAll(ctx context.Context) error {
	running, err := lab.Running()
	if err != nil {
		return err
	}
	for _, s := range running {
		if err := down(ctx, s); err != nil {
			return err
		}
	}
	swept, err := lab.Sweep()
	if len(swept) > 0 {
		fmt.Printf("removed what labs %v had left\n", swept)
	}
	return err
}

// down asks the lab's owner to remove it and waits until it has.
func down(ctx context.Context, s lab.State) error {
	if err := syscall.Kill(s.Owner, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("ask process %d to remove lab %d: %w", s.Owner, s.ID, err)
	}
	return lab.Eventually(ctx, fmt.Sprintf("lab %d to be gone", s.ID), func(context.Context) (bool, string, error) {
		running, err := lab.Running()
		if err != nil {
			return false, "", err
		}
		gone := !slices.Contains(numbers(running), s.ID)
		return gone, fmt.Sprintf("its owner, process %d, still runs", s.Owner), nil
	})
}
