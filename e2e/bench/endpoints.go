// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// endpointLost returns a channel that receives the moment at which the API server shows no ready endpoint of a Service on
// the node: what comes before it is Kubernetes' share of the time, which nobody who reads EndpointSlices can shorten.
func (c *cluster) endpointLost(ctx context.Context, namespace, service, node string) (<-chan time.Time, error) {
	w, err := c.kube.DiscoveryV1().EndpointSlices(namespace).Watch(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + service,
	})
	if err != nil {
		return nil, fmt.Errorf("watching EndpointSlices: %w", err)
	}
	return first(w, func(object runtime.Object) bool {
		slice, ok := object.(*discoveryv1.EndpointSlice)
		return ok && !readyOn(slice, node)
	}), nil
}

// podMarked returns a channel that receives the moment at which the API server shows a pod as not ready.
func (e *env) podMarked(ctx context.Context, pod *lab.Pod) (<-chan time.Time, error) {
	w, err := e.kube.CoreV1().Pods(pod.Namespace).Watch(ctx, metav1.SingleObject(metav1.ObjectMeta{Name: pod.Name}))
	if err != nil {
		return nil, fmt.Errorf("watching pod %s: %w", pod.Name, err)
	}
	return first(w, func(object runtime.Object) bool {
		pod, ok := object.(*corev1.Pod)
		return ok && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionFalse
		})
	}), nil
}

// first returns a channel that receives the moment at which a watch brings an object that is as wanted. It is closed when
// the watch ends.
func first(w watch.Interface, wanted func(runtime.Object) bool) <-chan time.Time {
	seen := make(chan time.Time, 1)
	go func() {
		defer close(seen)
		defer w.Stop()
		for event := range w.ResultChan() {
			if wanted(event.Object) {
				seen <- time.Now()
				return
			}
		}
	}()
	return seen
}

func readyOn(slice *discoveryv1.EndpointSlice, node string) bool {
	for _, endpoint := range slice.Endpoints {
		ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
		if ready && endpoint.NodeName != nil && *endpoint.NodeName == node {
			return true
		}
	}
	return false
}
