// SPDX-License-Identifier: Apache-2.0

package kubeadm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// programs are the directories of what the cluster runs.
type programs struct {
	kubernetes string // kubeadm, kubelet, kubectl, the control plane and etcd
	parts      string // containerd and its shim, ctr, network plugins, coredns
	helm       string // helm
	own        string // of this tree: machine, systemctl, pause, backend, the kubectl plugin
}

// path returns the PATH of a machine's processes.
func (p programs) path() string {
	return p.own + ":" + p.kubernetes + ":" + p.parts + ":" + p.helm + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

// parts are the programs of a node that are not Kubernetes', as e2e/kubeadm/parts/go.mod pins them.
func parts(root string) lab.Programs {
	return lab.Programs{
		Module: filepath.Join(root, "e2e", "kubeadm", "parts"), Version: "parts",
		Packages: map[string]string{
			"containerd":              "github.com/containerd/containerd/v2/cmd/containerd",
			"containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
			"ctr":                     "github.com/containerd/containerd/v2/cmd/ctr",
			"bridge":                  "github.com/containernetworking/plugins/plugins/main/bridge",
			"loopback":                "github.com/containernetworking/plugins/plugins/main/loopback",
			"host-local":              "github.com/containernetworking/plugins/plugins/ipam/host-local",
			"coredns":                 "./coredns",
		},
		Flags: []string{"-tags", "no_btrfs,no_devmapper,no_zfs,osusergo,netgo", "-ldflags", "-s -w"},
	}
}

// helm is the Helm whose libraries the chart's own tests use.
func helm(root string) lab.Programs {
	return lab.Programs{
		Module: filepath.Join(root, "e2e", "chart"), Version: "helm",
		Packages: map[string]string{"helm": "helm.sh/helm/v3/cmd/helm"},
		Flags:    []string{"-ldflags", "-s -w"},
	}
}

// Programs builds what the cache lacks of the programs of a cluster, and returns the directories they are in. A first
// build takes some ten minutes on two cores.
func Programs(ctx context.Context, root string, progress io.Writer) ([]string, error) {
	kubernetes, err := lab.Kubernetes(root, true)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, set := range []lab.Programs{kubernetes, parts(root), helm(root)} {
		dir, err := set.Build(ctx, progress)
		if err != nil {
			return nil, err
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// gather builds all programs. l builds those of this tree.
func gather(ctx context.Context, l *lab.Lab, root string, progress io.Writer) (programs, error) {
	if err := requireRunc(ctx, progress); err != nil {
		return programs{}, err
	}
	dirs, err := Programs(ctx, root, progress)
	if err != nil {
		return programs{}, err
	}
	own := []string{"./e2e/kubeadm/cmd/machine", "./e2e/kubeadm/cmd/pause", "./e2e/lab/cmd/backend", "./cmd/kubectl-fairlead"}
	if err := l.Build(ctx, own...); err != nil {
		return programs{}, err
	}
	dir := filepath.Dir(l.Program("machine"))
	if err := os.Symlink("machine", filepath.Join(dir, "systemctl")); err != nil && !errors.Is(err, os.ErrExist) {
		return programs{}, fmt.Errorf("name systemctl: %w", err)
	}
	return programs{kubernetes: dirs[0], parts: dirs[1], helm: dirs[2], own: dir}, nil
}

// requireRunc installs runc, which is not written in Go alone, from Debian's or Ubuntu's package.
func requireRunc(ctx context.Context, progress io.Writer) error {
	if _, err := exec.LookPath("runc"); err == nil {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("the cluster needs runc, and there is no apt-get to install it")
	}
	fmt.Fprintln(progress, "kubeadm: installing runc")
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", "runc"}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %v: %w: %s", args, err, bytes.TrimSpace(output))
		}
	}
	return nil
}
