// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// readyMark ends the output of a lab that has come up; with --keep the waiting process looks for it.
const readyMark = "lab: ready"

// buildLimit bounds a start that may have to build Kubernetes first.
const buildLimit = 30 * time.Minute

type upOptions struct {
	config  lab.Config
	keep    bool
	product bool
}

func upCommand() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use: "up", Short: "Build a lab and run it until Ctrl-C", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.keep {
				return upInBackground(cmd.Context())
			}
			return up(cmd.Context(), o)
		},
	}
	cmd.Flags().IntVar(&o.config.Nodes, "nodes", 3, "number of nodes, 1 to 80")
	cmd.Flags().BoolVar(&o.config.InitializedNodes, "initialized", false, "register nodes without the cloud provider's taint")
	cmd.Flags().StringVar(&o.config.KubeProxyMode, "proxy-mode", "nftables", "mode of kube-proxy: nftables or iptables")
	cmd.Flags().StringVar(&o.config.LogDir, "logs", "", "directory that receives all logs when the lab ends")
	cmd.Flags().BoolVar(&o.product, "product", false, "apply manifests/ and start the controller manager and all announcers")
	cmd.Flags().BoolVar(&o.keep, "keep", false, "run the lab in the background, until `lab down`")
	return cmd
}

func binariesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "binaries", Short: "Build the Kubernetes that labs run", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			root, err := lab.FindRoot()
			if err != nil {
				return err
			}
			dir, err := lab.Binaries(cmd.Context(), root, os.Stderr)
			if err == nil {
				fmt.Println(dir)
			}
			return err
		},
	}
}

// up runs a lab. The lab itself catches SIGINT and SIGTERM, removes all it has made and lets the signal end the process.
func up(ctx context.Context, o upOptions) error {
	l, err := lab.Start(ctx, o.config)
	if err != nil {
		return err
	}
	if o.product {
		if err := startProduct(ctx, l); err != nil {
			_ = l.Stop()
			return err
		}
	}
	fmt.Printf("lab %d is up: lab exec --lab %d cp kubectl get nodes\n%s\n", l.ID(), l.ID(), readyMark)
	select {}
}

func startProduct(ctx context.Context, l *lab.Lab) error {
	if err := l.ApplyManifests(ctx); err != nil {
		return err
	}
	if _, err := l.StartCCM(ctx, "ccm", lab.CCMOptions{Restart: true}); err != nil {
		return err
	}
	return l.StartAnnouncers(ctx)
}

// upInBackground starts this command again without --keep in a session of its own, and returns when that lab is ready.
func upInBackground(ctx context.Context) error {
	args := []string{}
	for _, a := range os.Args[1:] {
		if a != "--keep" && a != "--keep=true" {
			args = append(args, a)
		}
	}
	cmd := exec.Command("/proc/self/exe", args...) //nolint:noctx // it outlives this command
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := os.CreateTemp("", "fairlead-lab-up-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	return awaitMark(ctx, out.Name(), ended)
}

// awaitMark waits until the background lab has written its mark, or has ended, and shows what it wrote.
func awaitMark(ctx context.Context, path string, ended <-chan error) error {
	var shown int64
	return lab.Eventually(ctx, "the lab to be up", func(context.Context) (bool, string, error) {
		f, err := os.Open(path)
		if err != nil {
			return false, "", err
		}
		defer f.Close()
		if _, err := f.Seek(shown, io.SeekStart); err != nil {
			return false, "", err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			shown += int64(len(lines.Bytes())) + 1
			if lines.Text() == readyMark {
				return true, "", nil
			}
			fmt.Println(lines.Text())
		}
		select {
		case err := <-ended:
			return false, "", fmt.Errorf("the lab has ended: %w", err)
		default:
			return false, "it is being built", nil
		}
	})
}
