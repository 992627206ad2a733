// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Config says what lab to build. The zero value is a good one: three nodes as kubeadm leaves them before a cloud
// controller manager runs.
type Config struct {
	Nodes            int    // 1 to 80; 0 means 3
	Root             string // of the product's tree; empty means the one that holds the working directory
	InitializedNodes bool   // register nodes as without --cloud-provider=external: no taint
	NoNodeIP         bool   // register nodes as a kubelet without --node-ip does: Hostname is their only address

	// HostsOnly leaves the control plane and the nodes out: their hosts are there, with cables and addresses, and empty.
	// Client, Kubectl and what else speaks to the API server do not work then.
	HostsOnly bool
	// DocumentedAddresses gives the segment the addresses that documents use: 192.0.2.0/24 and 2001:db8::/64, with the
	// control plane at .10 and the nodes from .11 on. They never leave the lab, so that several labs can have them.
	DocumentedAddresses bool

	APIServerArgs         []string // added to kube-apiserver's
	ControllerManagerArgs []string // added to kube-controller-manager's
	KubeProxyArgs         []string // added to kube-proxy's
	KubeProxyMode         string   // nftables (the default) or iptables

	// LogDir, if not empty, receives the logs of all processes at Stop, in place of those of an earlier lab; otherwise they go
	// away with the lab.
	LogDir string
	// Progress receives what takes long: builds and installations. Nil means standard error.
	Progress io.Writer
}

// errStopped refuses to make anything in a lab that is going away.
var errStopped = errors.New("the lab is stopped")

// Lab is a running private cloud. Its methods may be called at the same time.
type Lab struct {
	cfg     Config
	id      int
	dir     string
	kube    string // directory of the Kubernetes programs
	plan    plan
	ident   *identity
	spawner *spawner
	ca      *authority
	admin   *rest.Config
	client  kubernetes.Interface

	background context.Context // of the lab's own goroutines
	cancel     context.CancelFunc
	goroutines sync.WaitGroup
	stopOnce   sync.Once
	stopErr    error

	builds sync.Mutex

	mu         sync.Mutex // guards what follows
	stopped    bool
	hosts      map[string]*host
	addedHosts int
	processes  []*Process
	apiServer  *Process
	nodes      map[string]*node
	pods       map[string]*Pod
	blocked    map[[2]string]bool
	keyMounted bool
	ccms       int
}

// Start builds a lab: hosts, control plane and nodes. It returns when all of it answers. On failure nothing is left. The
// lab runs until Stop, or until the process gets SIGINT or SIGTERM, which it then passes on to itself. ctx bounds only
// the start.
func Start(ctx context.Context, cfg Config) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the lab needs root: it makes network namespaces")
	}
	l, err := prepare(ctx, cfg)
	if err != nil {
		return nil, err
	}
	l.stopOnSignal()
	if err := l.build(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start lab %d: %w", l.id, err), l.Stop())
	}
	return l, nil
}

// prepare gathers the programs and claims a number; it builds nothing yet.
func prepare(ctx context.Context, cfg Config) (*Lab, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if err := requirePackages(ctx, cfg.Progress); err != nil {
		return nil, err
	}
	kube, err := Binaries(ctx, cfg.Root, cfg.Progress)
	if err != nil {
		return nil, err
	}
	ident, err := claimIdentity()
	if err != nil {
		return nil, err
	}
	l := &Lab{
		cfg: cfg, id: ident.id, dir: labDir(ident.id), kube: kube, plan: plan{ident.id, cfg.DocumentedAddresses}, ident: ident, spawner: newSpawner(),
		hosts: map[string]*host{}, nodes: map[string]*node{}, pods: map[string]*Pod{}, blocked: map[[2]string]bool{},
	}
	l.background, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return l, nil
}

func (c *Config) complete() error {
	if c.Nodes == 0 {
		c.Nodes = 3
	}
	if c.Nodes < 0 || c.Nodes > maxNodes {
		return fmt.Errorf("a lab has 1 to %d nodes, not %d", maxNodes, c.Nodes)
	}
	if c.KubeProxyMode == "" {
		c.KubeProxyMode = "nftables"
	}
	if c.Progress == nil {
		c.Progress = os.Stderr
	}
	if c.Root != "" {
		return nil
	}
	var err error
	c.Root, err = FindRoot()
	return err
}

// build makes everything; what does not depend on each other at the same time.
func (l *Lab) build(ctx context.Context) error {
	if err := l.mkdirs(); err != nil {
		return err
	}
	if err := l.buildNetwork(); err != nil {
		return err
	}
	if l.cfg.HostsOnly {
		return l.writeState()
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.Build(groupCtx, "./e2e/lab/cmd/backend") })
	group.Go(func() error { return l.startControlPlane(groupCtx) })
	if err := group.Wait(); err != nil {
		return err
	}
	if err := l.startNodes(ctx); err != nil {
		return err
	}
	if err := l.awaitServiceAccount(ctx, "default"); err != nil {
		return err
	}
	return l.writeState()
}

func (l *Lab) mkdirs() error {
	for _, sub := range []string{"logs", "pki", "kubeconfig", "bin", "secrets"} {
		if err := os.MkdirAll(filepath.Join(l.dir, sub), 0o755); err != nil {
			return fmt.Errorf("make the lab's directory: %w", err)
		}
	}
	return nil
}

// Stop removes the lab: processes, namespaces and directory. A second call waits for the first and returns the same.
func (l *Lab) Stop() error {
	l.stopOnce.Do(func() { l.stopErr = l.stop() })
	return l.stopErr
}

func (l *Lab) stop() error {
	l.cancel()
	l.mu.Lock()
	l.stopped = true
	processes := l.processes
	hosts := slices.Collect(maps.Values(l.hosts))
	l.mu.Unlock()
	for _, p := range processes {
		p.Signal(killSignal)
	}
	for _, p := range processes {
		<-p.done
	}
	l.goroutines.Wait()
	l.closeNodes()
	l.spawner.close()
	var errs []error
	for _, h := range hosts {
		errs = append(errs, h.close())
	}
	if l.cfg.LogDir != "" {
		errs = append(errs, copyLogs(filepath.Join(l.dir, "logs"), l.cfg.LogDir))
	}
	errs = append(errs, removeLeftovers(l.id), l.ident.release())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop lab %d: %w", l.id, err)
	}
	return nil
}

// copyLogs puts logs in place of those of the same names.
func copyLogs(from, to string) error {
	logs, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("keep the logs: %w", err)
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return fmt.Errorf("keep the logs: %w", err)
	}
	for _, log := range logs {
		if err := os.RemoveAll(filepath.Join(to, log.Name())); err != nil {
			return fmt.Errorf("keep the logs: %w", err)
		}
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return fmt.Errorf("keep the logs: %w", err)
	}
	return nil
}

// ID returns the number of the lab, which its addresses and namespaces carry.
func (l *Lab) ID() int { return l.id }

// Dir returns the lab's directory: logs, kubeconfigs, programs. It goes away with the lab.
func (l *Lab) Dir() string { return l.dir }

// Nodes returns the names of all nodes, n1 first.
func (l *Lab) Nodes() []string {
	names := make([]string, l.cfg.Nodes)
	for i := range names {
		names[i] = NodeName(i + 1)
	}
	return names
}

// Pool4 returns the IPv4 addresses of the segment that no host has: what an AddressPool may hold.
func (l *Lab) Pool4() Range { return l.plan.pool()[0] }

// Pool6 is Pool4 for IPv6.
func (l *Lab) Pool6() Range { return l.plan.pool()[1] }
