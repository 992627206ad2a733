// SPDX-License-Identifier: Apache-2.0

package kubeadm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// Workers are the machines beside lab.ControlPlane.
func Workers() []string { return []string{lab.NodeName(1), lab.NodeName(2)} }

// Machines are all machines of the cluster.
func Machines() []string { return append([]string{lab.ControlPlane}, Workers()...) }

// Config says what cluster to build.
type Config struct {
	Root     string    // of the product's tree; empty means the one that holds the working directory
	Progress io.Writer // receives what takes long, and how long each stage took; nil means standard error
	LogDir   string    // receives all logs at Stop; empty means that they go away with the cluster
}

// Cluster is three machines with container runtimes and images, and once Init and Join have run, a Kubernetes. The lab's
// methods for what runs outside of it (probes, cables, captures) work on it; those that speak to the API server are
// replaced by the cluster's own.
type Cluster struct {
	*lab.Lab
	root     string
	progress io.Writer
	programs programs
	begin    time.Time

	mu       sync.Mutex // guards what follows
	machines map[string]*lab.Process
	stages   []Stage
}

// Stage is how long a part of the work took.
type Stage struct {
	Name string
	Took time.Duration
}

// Start builds the machines and boots them: each with containerd, and with all images but Fairlead's. On failure nothing is
// left. The cluster lives until Stop, SIGINT or SIGTERM.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	if cfg.Progress == nil {
		cfg.Progress = os.Stderr
	}
	l, err := lab.Start(ctx, lab.Config{
		Nodes: len(Workers()), Root: cfg.Root, HostsOnly: true, DocumentedAddresses: true, LogDir: cfg.LogDir, Progress: cfg.Progress,
	})
	if err != nil {
		return nil, err
	}
	c, err := build(ctx, l, cfg)
	if err != nil {
		return nil, errors.Join(err, l.Stop())
	}
	return c, nil
}

// ForTest starts a cluster that goes away with the test. Without root, or with -short, the test is skipped. When the test
// fails, all logs are kept; see lab.ForTest.
func ForTest(tb testing.TB, cfg Config) *Cluster {
	tb.Helper()
	l := lab.ForTest(tb, lab.Config{
		Nodes: len(Workers()), Root: cfg.Root, HostsOnly: true, DocumentedAddresses: true, LogDir: cfg.LogDir, Progress: cfg.Progress,
	})
	if cfg.Progress == nil {
		cfg.Progress = tb.Output()
	}
	c, err := build(tb.Context(), l, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func build(ctx context.Context, l *lab.Lab, cfg Config) (*Cluster, error) {
	c := &Cluster{Lab: l, root: cfg.Root, progress: cfg.Progress, begin: time.Now(), machines: map[string]*lab.Process{}}
	if c.root == "" {
		var err error
		if c.root, err = lab.FindRoot(); err != nil {
			return nil, err
		}
	}
	var controlPlane, all map[string]string
	err := c.Timed("programs and images", func() error {
		var err error
		if c.programs, err = gather(ctx, l, c.root, c.progress); err != nil {
			return err
		}
		controlPlane, all, err = c.packImages(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := c.Timed("machines up", func() error { return c.bootAll(ctx) }); err != nil {
		return nil, err
	}
	err = c.Timed("images imported", func() error {
		group, ctx := errgroup.WithContext(ctx)
		for _, name := range Machines() {
			group.Go(func() error { return c.importImages(ctx, name, all) })
		}
		group.Go(func() error { return c.importImages(ctx, lab.ControlPlane, controlPlane) })
		return group.Wait()
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Timed runs f as one stage: how long it took is printed and kept.
func (c *Cluster) Timed(name string, f func() error) error {
	begin := time.Now()
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	stage := Stage{Name: name, Took: time.Since(begin)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stages = append(c.stages, stage)
	fmt.Fprintf(c.progress, "kubeadm: %6.1f s  %s (at %.0f s)\n", stage.Took.Seconds(), name, time.Since(c.begin).Seconds())
	return nil
}

// packImages puts the images together and returns the paths of their archives: those for the control plane, and those for
// all machines.
func (c *Cluster) packImages(ctx context.Context) (controlPlane, all map[string]string, err error) {
	first, second, err := clusterImages(ctx, c.programs)
	if err != nil {
		return nil, nil, err
	}
	controlPlane, all = map[string]string{}, map[string]string{}
	for paths, images := range map[*map[string]string]map[string]image{&controlPlane: first, &all: second} {
		for name, image := range images {
			(*paths)[name] = filepath.Join(c.Dir(), "images", name+".tar")
			if err := image.pack((*paths)[name]); err != nil {
				return nil, nil, err
			}
		}
	}
	return controlPlane, all, nil
}

func (c *Cluster) importImages(ctx context.Context, machine string, archives map[string]string) error {
	for _, path := range archives {
		if err := c.ImportImage(ctx, machine, path); err != nil {
			return err
		}
	}
	return nil
}

// ImportImage loads an archive of an image into the container runtime of a machine.
func (c *Cluster) ImportImage(ctx context.Context, machine, archive string) error {
	_, err := c.Run(ctx, machine, "ctr --namespace k8s.io images import "+archive)
	return err
}
