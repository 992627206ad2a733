// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/cloud-provider/service/helpers"
)

// oneWrite is the client of the stock service controller, which writes each new Service twice: the finalizer before it
// asks for an address, and the address. Of Services made at once by the hundred, the first write costs as much as the
// second. Through this client the finalizer comes with the address: a Service without one has nothing that its deletion
// would have to wait for. A claim whose Service goes before its address is written is released by pkg/controller.
type oneWrite struct {
	kubernetes.Interface
	services corelisters.ServiceLister
}

type oneWriteCore struct {
	corev1client.CoreV1Interface
	services corelisters.ServiceLister
}

type oneWriteServices struct {
	corev1client.ServiceInterface
	services corelisters.ServiceNamespaceLister
}

// CoreV1 implements kubernetes.Interface.
func (c oneWrite) CoreV1() corev1client.CoreV1Interface {
	return oneWriteCore{c.Interface.CoreV1(), c.services}
}

// Services implements corev1client.CoreV1Interface.
func (c oneWriteCore) Services(namespace string) corev1client.ServiceInterface {
	return oneWriteServices{c.CoreV1Interface.Services(namespace), c.services.Services(namespace)}
}

// Patch implements corev1client.ServiceInterface.
func (c oneWriteServices) Patch(ctx context.Context, name string, kind types.PatchType, data []byte, opts metav1.PatchOptions, subresources ...string) (*corev1.Service, error) {
	if kind != types.StrategicMergePatchType || !slices.Equal(subresources, []string{"status"}) {
		return c.ServiceInterface.Patch(ctx, name, kind, data, opts, subresources...)
	}
	patch := servicePatch{}
	if err := json.Unmarshal(data, &patch); err != nil {
		return nil, fmt.Errorf("patch of Service %s: %w", name, err)
	}
	if patch.onlyAddsFinalizer() {
		if service, err := c.services.Get(name); err == nil && awaitsAddress(service) {
			return service, nil
		}
	}
	if patch.givesAddress() {
		patch["metadata"] = map[string]any{finalizers: []any{helpers.LoadBalancerCleanupFinalizer}}
		var err error
		if data, err = json.Marshal(patch); err != nil {
			return nil, fmt.Errorf("patch of Service %s: %w", name, err)
		}
	}
	return c.ServiceInterface.Patch(ctx, name, kind, data, opts, subresources...)
}

// awaitsAddress tells whether the status of a Service is about to be written. One that is being deleted is not held back:
// the API server refuses it a finalizer, and with that the claim.
func awaitsAddress(service *corev1.Service) bool {
	return len(service.Status.LoadBalancer.Ingress) == 0 && service.DeletionTimestamp == nil
}

// servicePatch is a strategic merge patch of a Service.
type servicePatch map[string]any

const (
	finalizers      = "finalizers"
	finalizersOrder = "$setElementOrder/" + finalizers
)

// onlyAddsFinalizer tells whether the patch adds the service controller's finalizer and does nothing else.
func (p servicePatch) onlyAddsFinalizer() bool {
	metadata, _ := p["metadata"].(map[string]any)
	for field := range metadata {
		if field != finalizers && field != finalizersOrder {
			return false
		}
	}
	added, _ := metadata[finalizers].([]any)
	return len(p) == 1 && len(added) == 1 && added[0] == helpers.LoadBalancerCleanupFinalizer
}

// givesAddress tells whether the patch writes addresses into the status, and nothing of the metadata.
func (p servicePatch) givesAddress() bool {
	status, _ := p["status"].(map[string]any)
	balancer, _ := status["loadBalancer"].(map[string]any)
	ingress, _ := balancer["ingress"].([]any)
	return len(ingress) > 0 && p["metadata"] == nil
}
