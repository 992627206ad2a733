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

// Roles are the machines that the documents' blocks are for.
func Roles() map[string][]string {
	return map[string][]string{"control-plane": {lab.ControlPlane}, "worker": Workers()}
}

// JoinEdit changes the configuration that a worker joins with, as a person does who fills in the node's own addresses.
type JoinEdit func(worker, config string) string

// OwnAddresses is the edit that the documents ask for.
func (c *Cluster) OwnAddresses(worker, config string) string {
	return strings.NewReplacer("192.0.2.11", c.Addr4(worker).String(), "2001:db8::11", c.Addr6(worker).String()).Replace(config)
}

// Up makes the machines a Kubernetes cluster by the commands of docs/kubeadm.md, and connects its pods. The nodes are
// Ready then, and wait for a cloud controller manager. It returns the document, from which what it ran has been taken.
func (c *Cluster) Up(ctx context.Context, edit JoinEdit) (*Document, error) {
	d, err := ReadDocument(c.root, filepath.Join("docs", "kubeadm.md"))
	if err != nil {
		return nil, err
	}
	roles := Roles()
	if err := c.Timed("kubeadm init", func() error { return c.RunSection(ctx, d, "The first control-plane node", roles) }); err != nil {
		return nil, err
	}
	err = c.Timed("kubeadm join", func() error {
		return c.join(ctx, d, edit)
	})
	if err != nil {
		return nil, err
	}
	return d, c.Timed("nodes ready", func() error {
		if err := c.ConnectPods(ctx); err != nil {
			return err
		}
		_, err := c.Kubectl(ctx, "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=120s")
		return err
	})
}

func (c *Cluster) join(ctx context.Context, d *Document, edit JoinEdit) error {
	const section = "The other nodes"
	if len(d.left) < 2 || d.left[1].Where != "worker" {
		return fmt.Errorf("%s: expected a block for the control plane and one for workers in section %q", d.path, section)
	}
	joining := d.left[1]
	if _, err := c.Run(ctx, lab.ControlPlane, d.left[0].Script); err != nil {
		return fmt.Errorf("%s, line %d: %w", d.path, d.left[0].Line, err)
	}
	d.left = d.left[2:]
	config, err := os.ReadFile(filepath.Join(c.Home(lab.ControlPlane), "join.yaml"))
	if err != nil {
		return fmt.Errorf("copy join.yaml: %w", err)
	}
	for _, worker := range Workers() {
		edited := edit(worker, string(config))
		if err := os.WriteFile(filepath.Join(c.Home(worker), "join.yaml"), []byte(edited), 0o600); err != nil {
			return fmt.Errorf("copy join.yaml: %w", err)
		}
		if _, err := c.Run(ctx, worker, joining.Script); err != nil {
			return fmt.Errorf("%s, line %d, on machine %s: %w", d.path, joining.Line, worker, err)
		}
	}
	return nil
}
