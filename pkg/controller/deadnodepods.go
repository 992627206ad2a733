// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
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
	reasonNodeUnreachable = "NodeUnreachable"
	// messageNodeUnreachable is how the message beside it begins.
	messageNodeUnreachable = "a majority of Fairlead's announcers has lost the node"
)

// podWrites is how many pods are written at a time: a node may have hundreds, to be out of service within a second or two.
const podWrites = 16

// mark is the Ready condition of a pod whose node is dead, but for its times. That it tells which boot of the node the
// pod's containers belong to is for whoever takes it back, maybe another leader.
func mark(boot string) corev1.PodCondition {
	return corev1.PodCondition{
		Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: reasonNodeUnreachable,
		Message: messageNodeUnreachable + ", which was in boot " + boot,
	}
}

// isMarked tells whether a pod carries the mark of markPods. A kubelet that lives may have set the status back and left the
// reason.
func isMarked(pod *corev1.Pod) bool {
	ready := readyCondition(pod)
	return ready != nil && ready.Status == corev1.ConditionFalse && ready.Reason == reasonNodeUnreachable &&
		strings.HasPrefix(ready.Message, messageNodeUnreachable)
}

// markPods sets the Ready condition of the node's pods that back LoadBalancer Services to False, as the node lifecycle
// controller does when it notices. Setting the Node's own condition would not do it: that controller acts on transitions
// that it makes itself.
func (c *Controller) markPods(ctx context.Context, node string) (int, error) {
	boot := ""
	if known, err := c.config.Informers.Core().V1().Nodes().Lister().Get(node); err == nil {
		boot = known.Status.NodeInfo.BootID
	}
	return c.eachPod(ctx, node, func(pod *corev1.Pod) (corev1.PodCondition, bool) {
		ready := readyCondition(pod)
		return mark(boot), ready != nil && ready.Status == corev1.ConditionTrue && c.isBackend(pod)
	})
}

// restorePods sets the Ready condition back to True where the mark is still there and the node has not booted since. After
// a boot no container of before runs, and the pod is not ready until the kubelet says so, which it does of every pod. Nodes
// that are containers have the boot of the kernel they share, and seem to have run on.
func (c *Controller) restorePods(ctx context.Context, node string) (int, error) {
	known, err := c.config.Kube.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{}) // the lister may be behind
	if err != nil {
		return 0, fmt.Errorf("asking which boot node %s is in: %w", node, err)
	}
	before := mark(known.Status.NodeInfo.BootID)
	return c.eachPod(ctx, node, func(pod *corev1.Pod) (corev1.PodCondition, bool) {
		return corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue},
			isMarked(pod) && readyCondition(pod).Message == before.Message
	})
}

// eachPod sets the Ready condition of those pods on a node that want chooses, and counts those it has set. One that it
// cannot set keeps it from none of the others; the error names them all.
func (c *Controller) eachPod(ctx context.Context, node string, want func(*corev1.Pod) (corev1.PodCondition, bool)) (int, error) {
	pods, err := c.config.Kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String(), ResourceVersion: "0",
	})
	if err != nil {
		return 0, fmt.Errorf("listing the pods of node %s: %w", node, err)
	}
	var writes errgroup.Group
	writes.SetLimit(podWrites)
	var count atomic.Int64
	failed := make([]error, len(pods.Items))
	for i := range pods.Items {
		pod := &pods.Items[i]
		ready, wanted := want(pod)
		if !wanted {
			continue
		}
		writes.Go(func() error {
			switch err := c.setReady(ctx, pod, ready); {
			case err == nil:
				count.Add(1)
			case !apierrors.IsNotFound(err):
				failed[i] = fmt.Errorf("writing the Ready condition of pod %s: %w", klog.KObj(pod), err)
			}
			return nil // to the group, which keeps one error only
		})
	}
	_ = writes.Wait()
	return int(count.Load()), errors.Join(failed...)
}

// setReady writes the condition into the pod as it was read: what somebody has written since, the kubelet above all, is
// newer than what led to this condition, and makes it a conflict. So does another pod of the same name.
func (c *Controller) setReady(ctx context.Context, pod *corev1.Pod, ready corev1.PodCondition) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": pod.ResourceVersion},
		"status": map[string]any{"conditions": []map[string]any{{ // with empty fields: they are to be empty
			"type": ready.Type, "status": ready.Status, "reason": ready.Reason, "message": ready.Message,
			"lastTransitionTime": metav1.Now(),
		}}},
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
