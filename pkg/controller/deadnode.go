// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/klog/v2"
)

// leasePeriod is how often the Lease of a dead node is looked at: a kubelet renews it every 10 s.
const leasePeriod = 2 * time.Second

// mourn takes the pods on dead nodes out of service, and back, until the context ends. One goroutine does it all. What
// fails is tried again with the next tick.
func (c *Controller) mourn(ctx context.Context) {
	known, inherited := newDeaths(), false
	ticker := time.NewTicker(leasePeriod)
	defer ticker.Stop()
	for {
		if !inherited {
			inherited = c.inherit(ctx, known)
		}
		c.resurrect(ctx, known)
		c.bury(ctx, known)
		select {
		case <-ctx.Done():
			return
		case <-c.votes:
		case <-ticker.C:
		}
	}
}

// inherit learns which nodes a leader before this one has declared dead, by the marks on their pods, and tells whether it
// knows them all. Whether that leader has marked all pods of a node nobody knows.
func (c *Controller) inherit(ctx context.Context, known *deaths) bool {
	logger := klog.FromContext(ctx)
	pods, err := c.config.Kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		logger.Error(err, "listing pods for the marks of an earlier leader, trying again")
		return false
	}
	all := true
	for i := range pods.Items {
		node := pods.Items[i].Spec.NodeName
		if known.holds(node) || !isMarked(&pods.Items[i]) {
			continue
		}
		renewed, err := c.lastRenewal(ctx, node)
		switch {
		case err == nil:
			known.record(node, renewed)
		case !apierrors.IsNotFound(err): // else the Node is gone, and Kubernetes removes its pods
			logger.Error(err, "reading the Lease of a node that an earlier leader has declared dead, trying again", "node", node)
			all = false
		}
	}
	return all
}

// bury declares nodes dead that a majority of announcers has lost, and marks their pods until all of them are.
func (c *Controller) bury(ctx context.Context, known *deaths) {
	logger := klog.FromContext(ctx)
	announcers, err := c.config.Objects.Announcers().Lister().List(labels.Everything())
	if err != nil {
		return // a lister of a cache does not fail
	}
	lost := lostByMajority(announcers)
	unmarked, braked := known.unmarked(lost, len(announcers), time.Now())
	if braked {
		logger.V(1).Info("more than a third of the nodes seem dead: no endpoint is taken out of service", "nodes", lost)
	}
	for _, node := range unmarked {
		if err := c.buryNode(ctx, known, node); err != nil {
			logger.Error(err, "taking the endpoints of a dead node out of service, trying again", "node", node)
		}
	}
}

// buryNode marks what is not marked yet of one node.
func (c *Controller) buryNode(ctx context.Context, known *deaths, node string) error {
	again := known.holds(node)
	if !again {
		renewed, err := c.lastRenewal(ctx, node)
		if err != nil {
			return fmt.Errorf("reading the Lease by which its return would be seen: %w", err)
		}
		known.record(node, renewed)
	}
	marked, err := c.markPods(ctx, node)
	if err == nil {
		known.markedAll(node)
	}
	if marked > 0 || !again {
		klog.FromContext(ctx).Info("a majority of announcers has lost a node: its endpoints are out of service", "node", node, "pods", marked)
		c.nodeEvent(node, corev1.EventTypeWarning, reasonNodeUnreachable, fmt.Sprintf(
			"a majority of announcers has lost the node; pods on it behind LoadBalancer Services that are marked not ready: %d", marked))
	}
	return err
}

// resurrect takes the mark back from pods of nodes that have renewed their Lease since.
func (c *Controller) resurrect(ctx context.Context, known *deaths) {
	logger := klog.FromContext(ctx)
	for node := range known.dead {
		renewed, err := c.lastRenewal(ctx, node)
		if apierrors.IsNotFound(err) {
			delete(known.dead, node) // the Node is gone, and Kubernetes removes its pods
			continue
		}
		if err != nil {
			logger.Error(err, "reading the Lease of a node that was declared dead, trying again", "node", node)
			continue
		}
		if !known.recovered(node, renewed, time.Now()) {
			continue
		}
		restored, err := c.restorePods(ctx, node)
		if err != nil {
			logger.Error(err, "taking the mark back from pods of a node that lives, trying again", "node", node)
			continue
		}
		known.takeBack(node, time.Now())
		logger.Info("a node that was taken for dead has renewed its Lease: its endpoints are back", "node", node, "pods", restored)
		c.nodeEvent(node, corev1.EventTypeNormal, "NodeReachable",
			"the node has renewed its Lease: its pods are as ready as its kubelet says")
	}
}

func (c *Controller) lastRenewal(ctx context.Context, node string) (time.Time, error) {
	lease, err := c.config.Kube.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return time.Time{}, err
	}
	if lease.Spec.RenewTime == nil {
		return time.Time{}, nil
	}
	return lease.Spec.RenewTime.Time, nil
}

// nodeEvent records an event on a Node, as far as the Node is known.
func (c *Controller) nodeEvent(name, eventType, reason, message string) {
	if node, err := c.config.Informers.Core().V1().Nodes().Lister().Get(name); err == nil {
		c.config.Events.Event(node, eventType, reason, message)
	}
}
