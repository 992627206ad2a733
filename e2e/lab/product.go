// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Names of the product's objects, as manifests/ has them.
const (
	productNamespace = "fairlead-system"
	ccmProgram       = "fairlead-cloud-controller-manager"
	announcerProgram = "fairlead-announcer"
	gossipSecret     = "fairlead-gossip"
	gossipPort       = 7946
	metricsPort      = 7480
	firstCCMPort     = 10258
)

// Build builds packages of the product's tree into the lab, where Program finds them.
func (l *Lab) Build(ctx context.Context, packages ...string) error {
	l.builds.Lock()
	defer l.builds.Unlock()
	var missing []string
	for _, pkg := range packages {
		if _, err := os.Stat(l.Program(filepath.Base(pkg))); errors.Is(err, os.ErrNotExist) {
			missing = append(missing, pkg)
		}
	}
	return productPrograms(ctx, l.cfg.Root, filepath.Join(l.dir, "bin"), missing...)
}

// Program returns the path of a program that Build has built.
func (l *Lab) Program(name string) string { return filepath.Join(l.dir, "bin", name) }

// CCMOptions say how a cloud controller manager runs.
type CCMOptions struct {
	CloudConfig string   // content of the --cloud-config file; empty means none
	Host        string   // default ControlPlane
	ExtraArgs   []string // added to those of the Deployment
	// Restart starts the replica again when it ends, as a kubelet does: one that loses its lease ends. The Process is that
	// of the first start; its log is that of all.
	Restart bool
}

// StartCCM starts a replica of the product's cloud controller manager with the credentials of its ServiceAccount, which
// ApplyManifests makes. The name tells replicas apart.
func (l *Lab) StartCCM(ctx context.Context, name string, options CCMOptions) (*Process, error) {
	if err := l.Build(ctx, "./cmd/"+ccmProgram); err != nil {
		return nil, err
	}
	kubeconfig, err := l.ServiceAccountKubeconfig(ctx, productNamespace, ccmProgram, "")
	if err != nil {
		return nil, err
	}
	args := []string{
		"--kubeconfig", kubeconfig, "--authentication-kubeconfig", kubeconfig, "--authorization-kubeconfig", kubeconfig,
		"--secure-port", strconv.Itoa(l.nextCCMPort()),
		"--webhook-secure-port", "0", // its default is the port of the third replica
	}
	if options.CloudConfig != "" {
		path := filepath.Join(l.dir, "secrets", name+"-cloud-config.yaml")
		if err := os.WriteFile(path, []byte(options.CloudConfig), 0o600); err != nil {
			return nil, fmt.Errorf("write the cloud config of %q: %w", name, err)
		}
		args = append(args, "--cloud-config", path)
	}
	host := options.Host
	if host == "" {
		host = ControlPlane
	}
	command := Command{Name: name, Path: l.Program(ccmProgram), Args: append(args, options.ExtraArgs...)}
	p, err := l.StartProcess(host, command)
	if err != nil || !options.Restart {
		return p, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		l.goroutines.Go(func() { l.keepRunning(host, command, p) })
	}
	return p, nil
}

// nextCCMPort gives each replica a port of its own: they share a host.
func (l *Lab) nextCCMPort() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ccms++
	return firstCCMPort + l.ccms - 1
}

// StartAnnouncer starts the product's announcer on a node, with the credentials of its ServiceAccount bound to the Node
// and with the gossip key as a kubelet would mount it. It waits for the key's Secret.
func (l *Lab) StartAnnouncer(ctx context.Context, nodeName string, extraArgs ...string) (*Process, error) {
	n, err := l.node(nodeName)
	if err != nil {
		return nil, err
	}
	if err := l.Build(ctx, "./cmd/"+announcerProgram); err != nil {
		return nil, err
	}
	kubeconfig, err := l.ServiceAccountKubeconfig(ctx, productNamespace, announcerProgram, nodeName)
	if err != nil {
		return nil, err
	}
	key, err := l.mountGossipKey(ctx)
	if err != nil {
		return nil, err
	}
	p, err := l.StartProcess(nodeName, Command{
		Name: "announcer-" + nodeName, Path: l.Program(announcerProgram), Args: append([]string{
			"--node-name", nodeName, "--kubeconfig", kubeconfig,
			"--gossip-key-file", key, "--gossip-port", strconv.Itoa(gossipPort),
			"--metrics-bind-address", fmt.Sprintf("0.0.0.0:%d", metricsPort),
		}, extraArgs...),
	})
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	n.announcer, n.announcerArgs = p, extraArgs
	l.mu.Unlock()
	return p, nil
}

// StartAnnouncers starts the announcer on every node.
func (l *Lab) StartAnnouncers(ctx context.Context, extraArgs ...string) error {
	for _, name := range l.Nodes() {
		if _, err := l.StartAnnouncer(ctx, name, extraArgs...); err != nil {
			return err
		}
	}
	return nil
}

// Announcer returns the announcer that was last started on a node, or nil.
func (l *Lab) Announcer(nodeName string) *Process {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.nodes[nodeName]; n != nil {
		return n.announcer
	}
	return nil
}
