// SPDX-License-Identifier: Apache-2.0

package kubeadm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"

	"github.com/fairlead-io/fairlead/e2e/kubeadm/machine"
	"github.com/fairlead-io/fairlead/e2e/lab"
)

// containerdConfig is for machines that may lack the right to protect processes from the kernel's memory killer, and whose
// control groups no systemd manages. %s is the directory of the network plugins.
const containerdConfig = `version = 3
disabled_plugins = ["io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = %q
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [%q]
conf_dir = "/etc/cni/net.d"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "runc"
SystemdCgroup = false
`

// machineDir is the directory of a machine: its disk, and Home.
func (c *Cluster) machineDir(name string) string { return filepath.Join(c.Dir(), "machines", name) }

// Home returns the working directory of the commands that Run runs on a machine. The tree's manifests are in it.
func (c *Cluster) Home(name string) string { return filepath.Join(c.machineDir(name), "home") }

// HardwareUUID returns what the hardware of a machine says it is.
func HardwareUUID(name string) string {
	sum := sha256.Sum256([]byte("machine " + name))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

func (c *Cluster) bootAll(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, name := range Machines() {
		group.Go(func() error { return c.PowerOn(ctx, name) })
	}
	return group.Wait()
}

// PowerOn boots a machine and returns when its container runtime answers. A node that has joined starts its kubelet.
func (c *Cluster) PowerOn(ctx context.Context, name string) error {
	spec, err := c.spec(ctx, name)
	if err != nil {
		return err
	}
	path, err := spec.Write()
	if err != nil {
		return err
	}
	if err := c.RestoreLink(name); err != nil {
		return err
	}
	process, err := c.StartProcess(name, lab.Command{Name: name + "-machine", Path: c.Program("machine"), Args: []string{"boot", path}})
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.machines[name] = process
	c.mu.Unlock()
	return lab.Eventually(ctx, "machine "+name+" to be up", func(context.Context) (bool, string, error) {
		if process.Exited() {
			return false, "", fmt.Errorf("machine %s went off: %s", name, process.Log())
		}
		return spec.Booted(), "it is booting", nil
	})
}

// spec describes a machine that is off.
func (c *Cluster) spec(ctx context.Context, name string) (machine.Spec, error) {
	cgroups, err := c.NewCgroup(name)
	if err != nil {
		return machine.Spec{}, err
	}
	dir := c.machineDir(name)
	if err := os.MkdirAll(c.Home(name), 0o755); err != nil {
		return machine.Spec{}, fmt.Errorf("make the directory of machine %s: %w", name, err)
	}
	for _, shared := range []string{"manifests", "bin"} {
		if err := os.Symlink(filepath.Join(c.root, shared), filepath.Join(c.Home(name), shared)); err != nil && !errors.Is(err, os.ErrExist) {
			return machine.Spec{}, fmt.Errorf("make the directory of machine %s: %w", name, err)
		}
	}
	var hosts strings.Builder
	hosts.WriteString("127.0.0.1 localhost\n::1 localhost\n")
	for _, other := range Machines() {
		fmt.Fprintf(&hosts, "%s %s\n%s %s\n", c.Addr4(other), other, c.Addr6(other), other)
	}
	pause, err := c.pauseImage(ctx)
	if err != nil {
		return machine.Spec{}, err
	}
	binds, err := c.adaptConfigs()
	if err != nil {
		return machine.Spec{}, err
	}
	return machine.Spec{
		Name: name, UUID: HardwareUUID(name), Dir: dir, LogDir: filepath.Join(c.Dir(), "logs"), Cgroups: cgroups,
		Path: c.programs.path(), Hosts: hosts.String(), Binds: binds,
		Files: map[string]string{
			"/etc/containerd/config.toml": fmt.Sprintf(containerdConfig, pause, c.programs.parts),
			// CoreDNS wants one to forward to. Nothing there answers.
			"/etc/resolv.conf": fmt.Sprintf("nameserver %s\n", c.Addr4(lab.Router)),
		},
	}, nil
}

func (c *Cluster) pauseImage(ctx context.Context) (string, error) {
	_, all, err := clusterImages(ctx, c.programs)
	return all["pause"].reference, err
}

// PowerOff pulls the plug of a machine: its cable is dead, and every process on it is killed. Its disk stays.
func (c *Cluster) PowerOff(ctx context.Context, name string) error {
	pid, err := c.pid(name)
	if err != nil {
		return err
	}
	if err := c.CutLink(name); err != nil {
		return err
	}
	c.mu.Lock()
	process := c.machines[name]
	c.mu.Unlock()
	process.Kill()
	err = lab.Eventually(ctx, "machine "+name+" to be off", func(context.Context) (bool, string, error) {
		err := syscall.Kill(pid, 0)
		return errors.Is(err, syscall.ESRCH), fmt.Sprint("process 1 is still there: ", err), nil
	})
	if err != nil {
		return err
	}
	return c.forget(ctx, name)
}

// forget takes away what a boot does not find again: links, addresses and rules that programs have made.
func (c *Cluster) forget(ctx context.Context, name string) error {
	err := c.Netlink(name, func(handle *netlink.Handle) error {
		links, err := handle.LinkList()
		if err != nil {
			return err
		}
		for _, link := range links {
			if kept := link.Attrs().Name; kept == "eth0" || kept == "lo" {
				continue
			}
			// The other end of a pair goes with the first.
			if err := handle.LinkDel(link); err != nil && !errors.Is(err, syscall.ENODEV) {
				return fmt.Errorf("remove link %s of machine %s: %w", link.Attrs().Name, name, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, name, "nft", "flush", "ruleset")
	return err
}

// pid returns the number of a machine's process 1.
func (c *Cluster) pid(name string) (int, error) {
	spec, err := machine.ReadSpec(c.machineDir(name))
	if err != nil {
		return 0, err
	}
	return spec.Pid()
}

// Run runs a script on a machine, as root in Home, and returns its standard output. The script stops at the first command
// that fails. kubectl there is the administrator's on the control plane.
func (c *Cluster) Run(ctx context.Context, name, script string) (string, error) {
	pid, err := c.pid(name)
	if err != nil {
		return "", err
	}
	return c.Exec(ctx, name, append(Enter(pid, c.programs.path()), "bash", "-euo", "pipefail", "-c", "cd "+c.Home(name)+"\n"+script)...)
}

// Enter returns the command that begins one to be run on the machine whose process 1 is pid. What programs keep in their
// user's home goes when the machine is switched off.
func Enter(pid int, path string) []string {
	return []string{
		"nsenter", "--target", fmt.Sprint(pid), "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--net", "--",
		"env", "-i", "PATH=" + path, "HOME=/run/home", "KUBECONFIG=/etc/kubernetes/admin.conf",
	}
}
