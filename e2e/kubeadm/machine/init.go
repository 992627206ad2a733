// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	containerdSocket = "/run/containerd/containerd.sock"
	containerdLimit  = time.Minute
)

// Init is process 1 of the machine, which Boot starts: it mounts, starts containerd, and then obeys systemctl and buries
// the dead. It returns only with an error; to end it is to switch the machine off.
func Init(specPath string) error {
	spec, err := readSpec(specPath)
	if err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte(spec.Name)); err != nil {
		return fmt.Errorf("set the host name %s: %w", spec.Name, err)
	}
	if err := spec.mountAll(); err != nil {
		return err
	}
	for _, setting := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
		if err := os.WriteFile(setting, []byte("1"), 0o644); err != nil {
			return fmt.Errorf("let machine %s forward: %w", spec.Name, err)
		}
	}
	if err := os.Setenv("PATH", spec.Path); err != nil {
		return err
	}
	services := newServices(spec)
	go services.reap()
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", controlSocket)
	if err != nil {
		return fmt.Errorf("listen for systemctl: %w", err)
	}
	if err := services.start("containerd"); err != nil {
		return err
	}
	if err := awaitSocket(containerdSocket); err != nil {
		return err
	}
	if _, err := os.Stat(kubeletKubeconfig); err == nil { // the node has joined before: this is a reboot
		if err := services.start("kubelet"); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(spec.Dir, bootedName), nil, 0o644); err != nil {
		return fmt.Errorf("say that the machine is up: %w", err)
	}
	return services.obey(listener)
}

func awaitSocket(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), containerdLimit)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("nothing listens on %s", path), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Files that kubeadm writes for the kubelet.
const (
	kubeletKubeconfig = "/etc/kubernetes/kubelet.conf"
	kubeletFlags      = "/var/lib/kubelet/kubeadm-flags.env"
	kubeletDefaults   = "/etc/default/kubelet"
)

// kubeletCommand is what kubeadm's unit of the kubelet runs. The environment files are read at each start.
func kubeletCommand() []string {
	command := []string{
		"kubelet", "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf", "--kubeconfig=" + kubeletKubeconfig,
		"--config=/var/lib/kubelet/config.yaml",
	}
	for _, file := range []struct{ path, variable string }{
		{kubeletFlags, "KUBELET_KUBEADM_ARGS="}, {kubeletDefaults, "KUBELET_EXTRA_ARGS="},
	} {
		data, err := os.ReadFile(file.path)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), file.variable); ok {
				command = append(command, strings.Fields(strings.Trim(value, `"`))...)
			}
		}
	}
	return command
}
