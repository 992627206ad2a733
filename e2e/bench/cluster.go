// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned"
)

// need says what lab a benchmark runs in. Benchmarks with equal needs share one.
type need struct {
	nodes    int  // 0: no lab
	backends bool // a pod on each node, and a Service with an address of the segment
	bare     bool // the product's objects only: the benchmark starts what it measures
	routed   bool // FRR in the router; unless bare, a pod on each node, and Services for BGP to announce
}

// cluster is a lab with the product in it.
type cluster struct {
	need
	lab       *lab.Lab
	kube      kubernetes.Interface
	fairlead  versioned.Interface
	service   *target      // where need.backends
	frr       *lab.FRR     // where need.routed
	addresses []netip.Addr // of Services, where need.routed
	ccm       *lab.Process
	pods      map[string]*lab.Pod  // where need.backends or need.routed, by node
	crashes   map[pressure][]crash // that were measured
	crashed   map[string]bool      // nodes, since the controller manager started
}

// startCluster brings up a lab and, unless it is to be bare, the product.
func startCluster(ctx context.Context, n need, o options, say func(string, ...any)) (*cluster, error) {
	say("bringing up a lab of %d nodes", n.nodes)
	l, err := lab.Start(ctx, lab.Config{Nodes: n.nodes, LogDir: o.logs, Progress: os.Stderr})
	if err != nil {
		return nil, err
	}
	c := &cluster{need: n, lab: l, pods: map[string]*lab.Pod{}, crashes: map[pressure][]crash{}, crashed: map[string]bool{}}
	if err := c.populate(ctx, say); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *cluster) populate(ctx context.Context, say func(string, ...any)) error {
	if err := c.connect(); err != nil {
		return err
	}
	if err := c.lab.ApplyManifests(ctx); err != nil {
		return err
	}
	if !c.bare {
		say("starting the product")
		if err := c.startCCM(ctx); err != nil {
			return err
		}
		if err := c.lab.StartAnnouncers(ctx); err != nil {
			return err
		}
		if err := c.awaitAnnouncers(ctx); err != nil {
			return err
		}
	}
	if c.routed {
		if err := c.startRouter(ctx); err != nil {
			return err
		}
		if !c.bare {
			say("starting a pod on each node, and %d Services", routedServices)
			return c.startRouted(ctx)
		}
	}
	if !c.backends {
		return nil
	}
	say("starting a pod on each node")
	return c.startBackends(ctx)
}

func (c *cluster) startCCM(ctx context.Context) (err error) {
	c.ccm, err = c.lab.StartCCM(ctx, "ccm", lab.CCMOptions{CloudConfig: leavingOnCordon})
	return err
}

// restartCCM replaces the controller manager by a new one, and returns when that leads.
func (c *cluster) restartCCM(ctx context.Context) error {
	const name = "fairlead-cloud-controller-manager"
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	leases := c.kube.CoordinationV1().Leases("fairlead-system")
	old, err := leases.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading the lease %s: %w", name, err)
	}
	c.ccm.Kill()
	// Nobody waits for the end of the old one's lease: what is measured comes later.
	if err := leases.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("deleting the lease %s: %w", name, err)
	}
	if err := c.startCCM(ctx); err != nil {
		return err
	}
	return lab.Eventually(ctx, "the new controller manager to lead", func(ctx context.Context) (bool, string, error) {
		lease, err := leases.Get(ctx, name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return false, "", err
		}
		if c.ccm.Exited() {
			return false, "", fmt.Errorf("it has ended; the end of its log: %s", tail(c.ccm.Log()))
		}
		holder := "" // a lease that was not found is empty
		if lease != nil {
			holder = ptr.Deref(lease.Spec.HolderIdentity, "")
		}
		return holder != "" && holder != ptr.Deref(old.Spec.HolderIdentity, ""), "the lease is held by " + holder, nil
	})
}

// tail returns the last lines of a log.
func tail(log string) string {
	const length = 1000
	return log[max(0, len(log)-length):]
}

// connect makes clients without a limit of their own. The one of core objects speaks protobuf, as controllers do.
func (c *cluster) connect() error {
	core := c.lab.RESTConfig()
	core.ContentType = "application/vnd.kubernetes.protobuf"
	core.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	kube, err := kubernetes.NewForConfig(rest.AddUserAgent(core, "bench"))
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	fairlead, err := versioned.NewForConfig(rest.AddUserAgent(c.lab.RESTConfig(), "bench"))
	if err != nil {
		return fmt.Errorf("making a client of the product's objects: %w", err)
	}
	c.kube, c.fairlead = kube, fairlead
	return nil
}

// stop removes the lab. A nil cluster has none.
func (c *cluster) stop() {
	if c == nil {
		return
	}
	if err := c.lab.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: removing the lab:", err)
	}
}
