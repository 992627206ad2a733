// SPDX-License-Identifier: Apache-2.0

package kubeadm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// JoinEdit changes the configuration that a worker joins with, as a person does who fills in the node's own addresses.
type JoinEdit func(worker, config string) string

// OwnAddresses is the edit that the documents ask for.
func (c *Cluster) OwnAddresses(worker, config string) string {
	return strings.NewReplacer("192.0.2.11", c.Addr4(worker).String(), "2001:db8::11", c.Addr6(worker).String()).Replace(config)
}

// Up makes the machines a Kubernetes cluster by the commands of docs/kubeadm.md, and connects its pods. The nodes are
// Ready then, and wait for a cloud controller manager. It returns the document, from which it has taken what it ran.
func (c *Cluster) Up(ctx context.Context, edit JoinEdit) (*Document, error) {
	d, err := ReadDocument(c.root, filepath.Join("docs", "kubeadm.md"))
	if err != nil {
		return nil, err
	}
	first, err := d.Take("The first control-plane node")
	if err != nil {
		return nil, err
	}
	err = c.Timed("kubeadm init", func() error {
		for _, block := range first {
			if err := c.RunBlock(ctx, block, lab.ControlPlane); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := c.Timed("kubeadm join", func() error { return c.join(ctx, d, edit) }); err != nil {
		return nil, err
	}
	return d, c.Timed("nodes ready", func() error {
		if err := c.ConnectPods(ctx, Machines()...); err != nil {
			return err
		}
		_, err := c.Kubectl(ctx, "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=300s")
		return err
	})
}

// join makes the workers join, with a copy of the configuration that is edited for each.
func (c *Cluster) join(ctx context.Context, d *Document, edit JoinEdit) error {
	blocks, err := d.Take("The other nodes")
	if err != nil {
		return err
	}
	if len(blocks) != 2 {
		return fmt.Errorf("%s: expected a block for the control plane and one for workers", blocks[0])
	}
	if err := c.RunBlock(ctx, blocks[0], lab.ControlPlane); err != nil {
		return err
	}
	config, err := os.ReadFile(filepath.Join(c.Home(lab.ControlPlane), "join.yaml"))
	if err != nil {
		return fmt.Errorf("copy join.yaml: %w", err)
	}
	for _, worker := range Workers() {
		edited := edit(worker, string(config))
		if err := os.WriteFile(filepath.Join(c.Home(worker), "join.yaml"), []byte(edited), 0o600); err != nil {
			return fmt.Errorf("copy join.yaml: %w", err)
		}
		if err := c.RunBlock(ctx, blocks[1], worker); err != nil {
			return err
		}
	}
	return nil
}
