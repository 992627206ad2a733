// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

func (p *plugin) drainCommand() *cobra.Command {
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "drain NODE",
		Short: "Let a node hand over its addresses, and wait until it has",
		Long: "Let a node hand over its addresses, and wait until it has: sets the annotation " + v1alpha1.DrainKey + ".\n" +
			"Pods stay; kubectl drain is for them.",
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := p.connect()
			if err != nil {
				return err
			}
			if err := c.mark(command.Context(), args[0], map[string]any{"annotations": map[string]any{v1alpha1.DrainKey: "true"}}); err != nil {
				return err
			}
			fmt.Fprintf(p.Out, "node %s hands over its addresses\n", args[0])
			if timeout == 0 {
				return nil
			}
			if err := c.awaitEmpty(command.Context(), args[0], timeout); err != nil {
				return err
			}
			fmt.Fprintf(p.Out, "node %s announces no address\n", args[0])
			return nil
		},
	}
	command.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait until the node announces no address; 0 means not at all")
	return command
}

func (p *plugin) undrainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "undrain NODE",
		Short: "Let a node announce addresses again",
		Long:  "Let a node announce addresses again: removes " + v1alpha1.DrainKey + ", be it an annotation or a label.",
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := p.connect()
			if err != nil {
				return err
			}
			none := map[string]any{v1alpha1.DrainKey: nil}
			if err := c.mark(command.Context(), args[0], map[string]any{"annotations": none, "labels": none}); err != nil {
				return err
			}
			fmt.Fprintf(p.Out, "node %s may announce addresses\n", args[0])
			return nil
		},
	}
}

// mark merges metadata into a Node.
func (c clients) mark(ctx context.Context, node string, metadata map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return fmt.Errorf("encoding the patch of Node %s: %w", node, err)
	}
	_, err = c.kube.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "kubectl-fairlead"})
	return err
}

// awaitEmpty waits until a node announces no address, neither on layer 2 nor by BGP.
func (c clients) awaitEmpty(ctx context.Context, node string, timeout time.Duration) error {
	var owned, told []string
	err := wait.PollUntilContextTimeout(ctx, time.Second, timeout, true, func(ctx context.Context) (bool, error) {
		var err error
		if owned, err = c.owned(ctx, node); err != nil {
			return false, err
		}
		told, err = c.toldTo(ctx, node)
		return len(owned)+len(told) == 0, err
	})
	switch {
	case !wait.Interrupted(err):
		return err
	case len(owned) > 0:
		return fmt.Errorf("node %s still announces %v after %s: no other node may, or none is ready to (kubectl fairlead who ADDRESS)", node, owned, timeout)
	}
	return fmt.Errorf("node %s still announces addresses to the BGPPeers %v after %s: it withdraws them when their Services' drain timeout has passed",
		node, told, timeout)
}

// owned returns the addresses that a node announces on layer 2.
func (c clients) owned(ctx context.Context, node string) ([]string, error) {
	vips, err := c.fairlead.FairleadV1alpha1().VirtualIPs().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("listing VirtualIPs: %w", err)
	}
	var out []string
	for _, vip := range vips.Items {
		if vip.Status.Node == node {
			out = append(out, vip.Spec.Address)
		}
	}
	return out, nil
}

// toldTo returns the BGPPeers that a node announces addresses to, as its agent said last.
func (c clients) toldTo(ctx context.Context, node string) ([]string, error) {
	agents, err := c.fairlead.FairleadV1alpha1().Announcers().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("listing Announcers: %w", err)
	}
	var out []string
	for _, agent := range agents.Items {
		if agent.Name != node {
			continue
		}
		for _, session := range agent.Status.BGP {
			if session.Prefixes > 0 {
				out = append(out, session.Peer)
			}
		}
	}
	return out, nil
}
