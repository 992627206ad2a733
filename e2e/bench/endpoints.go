// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// endpointLost returns a channel that receives the moment at which the API server shows no ready endpoint of a Service on
// the node: what comes before it is Kubernetes' share of the time, which nobody who reads EndpointSlices can shorten.
func (e *env) endpointLost(ctx context.Context, service, node string) (<-chan time.Time, error) {
	w, err := e.kube.DiscoveryV1().EndpointSlices(routedNamespace).Watch(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + service,
	})
	if err != nil {
		return nil, fmt.Errorf("watching EndpointSlices: %w", err)
	}
	lost := make(chan time.Time, 1)
	go func() {
		defer close(lost)
		defer w.Stop()
		for event := range w.ResultChan() {
			if slice, ok := event.Object.(*discoveryv1.EndpointSlice); ok && !readyOn(slice, node) {
				lost <- time.Now()
				return
			}
		}
	}()
	return lost, nil
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
