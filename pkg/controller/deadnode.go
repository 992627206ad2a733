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

	"github.com/fairlead-io/fairlead/pkg/cloudconfig"
)

// reasonEndpointsStay is the reason of the event that says that a node which seems dead keeps its endpoints.
const reasonEndpointsStay = "EndpointsStay"

// leasePeriod is how often the Lease of a dead node is looked at: a kubelet renews it every 10 s.
const leasePeriod = 2 * time.Second

// mourn takes the pods on dead nodes out of service, and back, until the context ends; if endpoints are to be left alone,
// it does nothing. One goroutine does it all, in turns that are short: none of the three waits long for another. What fails is
// tried again with the next tick.
func (c *Controller) mourn(ctx context.Context) {
	if c.config.DeadNodeEndpoints == cloudconfig.DeadNodeLeave {
		return
	}
	known, left := newDeaths(), newLegacy()
	ticker := time.NewTicker(leasePeriod)
	defer ticker.Stop()
	for {
		if c.takeTurn(ctx, known, left) {
			c.countVotes()
		}
		select {
		case <-ctx.Done():
			return
		case <-c.votes:
		case <-ticker.C:
		}
	}
}

// takeTurn looks at the dead first, since one that is back may end the brake, and at what an earlier leader has left last. It
// tells whether there is more to do.
func (c *Controller) takeTurn(ctx context.Context, known *deaths, left *legacy) (more bool) {
	c.resurrect(ctx, known)
	more = c.bury(ctx, known)
	return c.inherit(ctx, left, known) || more
}

// countVotes has mourn take another turn.
func (c *Controller) countVotes() {
	select {
	case c.votes <- struct{}{}:
	default: // a wake-up is under way
	}
}

// bury declares nodes dead that a majority of announcers has lost, and marks their pods until all of them are. It ends after
// leasePeriod and tells whether there are more.
func (c *Controller) bury(ctx context.Context, known *deaths) (more bool) {
	for began := time.Now(); time.Since(began) < leasePeriod; {
		node, found := c.nextDead(ctx, known)
		if !found || ctx.Err() != nil {
			clear(known.tried)
			return false
		}
		known.tried[node] = true
		if err := c.buryNode(ctx, known, node); err != nil {
			klog.FromContext(ctx).Error(err, "taking the endpoints of a dead node out of service, trying again", "node", node)
		}
	}
	return true
}

// nextDead returns a node whose pods are to be marked, and that was not tried yet in this round. It looks at the votes each
// time: what led to the verdict on one node may be over when the next has its turn.
func (c *Controller) nextDead(ctx context.Context, known *deaths) (node string, found bool) {
	announcers, err := c.config.Objects.Announcers().Lister().List(labels.Everything())
	if err != nil {
		return "", false // a lister of a cache does not fail
	}
	now := time.Now()
	lost := lostByMajority(announcers, now)
	unmarked, braked := known.unmarked(lost, len(announcers), now)
	if braked {
		c.spare(ctx, known, lost)
	} else {
		clear(known.spared)
	}
	for _, node := range unmarked {
		if !known.tried[node] {
			return node, true
		}
	}
	return "", false
}

// spare tells, once of each node, that its endpoints stay in service although it seems dead: too many do.
func (c *Controller) spare(ctx context.Context, known *deaths, lost []string) {
	for _, node := range lost {
		if known.holds(node) || known.spared[node] {
			continue
		}
		known.spared[node] = true
		klog.FromContext(ctx).Info("more than a third of the nodes seem dead: the endpoints of this one stay in service", "node", node)
		c.nodeEvent(node, corev1.EventTypeWarning, reasonEndpointsStay,
			"a majority of announcers has lost the node, but more than a third of all nodes seem dead: its endpoints stay in service")
	}
}

// buryNode marks what is not marked yet of one node.
func (c *Controller) buryNode(ctx context.Context, known *deaths, node string) error {
	again := known.holds(node)
	if !again {
		renewed, err := c.lastRenewal(ctx, node)
		if apierrors.IsNotFound(err) {
			return nil // the Node is gone, and Kubernetes removes its pods
		}
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
