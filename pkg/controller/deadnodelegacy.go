// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
)

// podsPerPage bounds what a new leader holds of the cluster's pods at a time, which may be many more than it has memory for.
const podsPerPage = 500

// legacy is what a leader has yet to learn of the deaths that one before it has declared. It is a value that only one
// goroutine changes.
type legacy struct {
	read  bool            // all pods have been
	page  string          // that is to be read next; "" for the first
	nodes map[string]bool // with marked pods, whose Lease has not been read
}

func newLegacy() *legacy { return &legacy{nodes: map[string]bool{}} }

// inherit learns which nodes a leader before this one has declared dead, by the marks on their pods: of one page of pods at
// a time. It tells whether there are more. Whether that leader has marked all pods of a node nobody knows.
func (c *Controller) inherit(ctx context.Context, left *legacy, known *deaths) (more bool) {
	logger := klog.FromContext(ctx)
	if !left.read {
		if err := c.readMarks(ctx, left); err != nil {
			logger.Error(err, "listing pods for the marks of an earlier leader, trying again")
		} else {
			more = !left.read
		}
	}
	for node := range left.nodes {
		if known.holds(node) {
			delete(left.nodes, node)
			continue
		}
		renewed, err := c.lastRenewal(ctx, node)
		if err != nil && !apierrors.IsNotFound(err) {
			logger.Error(err, "reading the Lease of a node that an earlier leader has declared dead, trying again", "node", node)
			continue
		}
		delete(left.nodes, node)
		if err == nil { // else the Node is gone, and Kubernetes removes its pods
			known.record(node, renewed)
		}
	}
	return more
}

// readMarks reads the next page of pods, for the nodes of those that are marked.
func (c *Controller) readMarks(ctx context.Context, left *legacy) error {
	pods, err := c.config.Kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{Limit: podsPerPage, Continue: left.page})
	if apierrors.IsResourceExpired(err) {
		left.page = "" // from the start, then
	}
	if err != nil {
		return err
	}
	for i := range pods.Items {
		if isMarked(&pods.Items[i]) {
			left.nodes[pods.Items[i].Spec.NodeName] = true
		}
	}
	left.page = pods.Continue
	left.read = left.page == ""
	return nil
}
