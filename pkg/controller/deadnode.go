// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
)

const (
	// reasonNodeUnreachable is the reason in the Ready condition of a pod that was marked for its node's death.
	reasonNodeUnreachable  = "NodeUnreachable"
	messageNodeUnreachable = "a majority of Fairlead's announcers has lost the node"
	// leasePeriod is how often the Lease of a dead node is looked at: a kubelet renews it every 10 s.
	leasePeriod = 2 * time.Second
)

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

// isMarked tells whether a pod carries the mark of markPods. A kubelet that lives may have set the status back and left the
// reason.
func isMarked(pod *corev1.Pod) bool {
	ready := readyCondition(pod)
	return ready != nil && ready.Status == corev1.ConditionFalse && ready.Reason == reasonNodeUnreachable && ready.Message == messageNodeUnreachable
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
		if err != nil || !known.recovered(node, renewed) {
			continue
		}
		restored, err := c.restorePods(ctx, node)
		if err != nil {
			logger.Error(err, "taking the mark back from pods of a node that lives", "node", node)
			continue
		}
		known.takeBack(node, time.Now())
		logger.Info("a node that was taken for dead has renewed its Lease: its endpoints are back", "node", node, "pods", restored)
		c.nodeEvent(node, corev1.EventTypeNormal, "NodeReachable", "the node has renewed its Lease: none of its pods is marked any more")
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

// markPods sets the Ready condition of the node's pods that back LoadBalancer Services to False, as the node lifecycle
// controller does when it notices. Setting the Node's own condition would not do it: that controller acts on transitions
// that it makes itself.
func (c *Controller) markPods(ctx context.Context, node string) (int, error) {
	return c.eachPod(ctx, node, func(pod *corev1.Pod) (corev1.ConditionStatus, string, bool) {
		ready := readyCondition(pod)
		return corev1.ConditionFalse, reasonNodeUnreachable, ready != nil && ready.Status == corev1.ConditionTrue && c.isBackend(pod)
	})
}

// restorePods sets the Ready condition back to True where the reason is still ours.
func (c *Controller) restorePods(ctx context.Context, node string) (int, error) {
	return c.eachPod(ctx, node, func(pod *corev1.Pod) (corev1.ConditionStatus, string, bool) {
		return corev1.ConditionTrue, "", isMarked(pod)
	})
}

// eachPod sets the Ready condition of those pods on a node that want chooses, and counts those it has set. One that it
// cannot set keeps it from none of the others; the error names them all.
func (c *Controller) eachPod(ctx context.Context, node string, want func(*corev1.Pod) (corev1.ConditionStatus, string, bool)) (int, error) {
	pods, err := c.config.Kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String(), ResourceVersion: "0",
	})
	if err != nil {
		return 0, fmt.Errorf("listing the pods of node %s: %w", node, err)
	}
	count := 0
	var failed []error
	for i := range pods.Items {
		pod := &pods.Items[i]
		status, reason, wanted := want(pod)
		if !wanted {
			continue
		}
		switch err := c.setReady(ctx, pod, status, reason); {
		case err == nil:
			count++
		case !apierrors.IsNotFound(err):
			failed = append(failed, fmt.Errorf("writing the Ready condition of pod %s: %w", klog.KObj(pod), err))
		}
	}
	return count, errors.Join(failed...)
}

func (c *Controller) setReady(ctx context.Context, pod *corev1.Pod, status corev1.ConditionStatus, reason string) error {
	type condition struct {
		Type               corev1.PodConditionType `json:"type"`
		Status             corev1.ConditionStatus  `json:"status"`
		Reason             string                  `json:"reason"`
		Message            string                  `json:"message"`
		LastTransitionTime metav1.Time             `json:"lastTransitionTime"`
	}
	set := condition{Type: corev1.PodReady, Status: status, Reason: reason, LastTransitionTime: metav1.Now()}
	if reason != "" {
		set.Message = messageNodeUnreachable
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID}, // not a pod of the same name made since
		"status":   map[string]any{"conditions": []condition{set}},
	})
	if err != nil {
		return fmt.Errorf("encoding the patch: %w", err)
	}
	_, err = c.config.Kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

func readyCondition(pod *corev1.Pod) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == corev1.PodReady {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// isBackend tells whether a pod is one that a LoadBalancer Service selects.
func (c *Controller) isBackend(pod *corev1.Pod) bool {
	services, err := c.config.Informers.Core().V1().Services().Lister().Services(pod.Namespace).List(labels.Everything())
	if err != nil {
		return false // a lister of a cache does not fail
	}
	for _, service := range services {
		selects := len(service.Spec.Selector) > 0 && labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels))
		if selects && c.managed(service) {
			return true
		}
	}
	return false
}

// nodeEvent records an event on a Node, as far as the Node is known.
func (c *Controller) nodeEvent(name, eventType, reason, message string) {
	if node, err := c.config.Informers.Core().V1().Nodes().Lister().Get(name); err == nil {
		c.config.Events.Event(node, eventType, reason, message)
	}
}
