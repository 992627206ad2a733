// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/cloud-provider/service/helpers"

	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

// statusTimeout of one write of a status.
const statusTimeout = 5 * time.Second

// oneWrite is a client that writes addresses into the status of Services, for the stock service controller and for this
// one. The stock controller writes each new Service twice: the finalizer before it asks for an address, and the address. Of
// Services made at once by the hundred, the first write costs as much as the second. Through this client the finalizer
// comes with the address: a Service without one has nothing that its deletion would have to wait for. A claim whose
// Service goes before its address is written is released by this package.
//
// The client sees to it that what it writes is true (see loadbalancer.Reconciler.Confirm), which the stock controller,
// that writes by the name of a Service only, does not: of two managers that both think they lead, one may have given up
// what the other is about to write.
type oneWrite struct {
	kubernetes.Interface
	services  corelisters.ServiceLister
	balancers *loadbalancer.Reconciler
}

type oneWriteCore struct {
	corev1client.CoreV1Interface
	client oneWrite
}

type oneWriteServices struct {
	corev1client.ServiceInterface
	namespace string
	client    oneWrite
}

// ForStockClient returns the client with which to run the stock service controller.
func ForStockClient(kube kubernetes.Interface, services corelisters.ServiceLister, balancers *loadbalancer.Reconciler) kubernetes.Interface {
	return oneWrite{Interface: kube, services: services, balancers: balancers}
}

// CoreV1 implements kubernetes.Interface.
func (c oneWrite) CoreV1() corev1client.CoreV1Interface {
	return oneWriteCore{c.Interface.CoreV1(), c}
}

// Services implements corev1client.CoreV1Interface.
func (c oneWriteCore) Services(namespace string) corev1client.ServiceInterface {
	return oneWriteServices{c.CoreV1Interface.Services(namespace), namespace, c.client}
}

// Patch implements corev1client.ServiceInterface.
func (c oneWriteServices) Patch(ctx context.Context, name string, kind types.PatchType, data []byte, opts metav1.PatchOptions, subresources ...string) (*corev1.Service, error) {
	if kind != types.StrategicMergePatchType || !slices.Equal(subresources, []string{"status"}) {
		return c.ServiceInterface.Patch(ctx, name, kind, data, opts, subresources...)
	}
	patch := servicePatch{}
	if err := json.Unmarshal(data, &patch); err != nil {
		return nil, fmt.Errorf("patch of Service %s/%s: %w", c.namespace, name, err)
	}
	if patch.onlyAddsFinalizer() {
		if service, err := c.client.services.Services(c.namespace).Get(name); err == nil && (awaitsAddress(service) || elsewhere(service, c.client.balancers)) {
			return service, nil
		}
	}
	addresses := patch.addresses()
	if len(addresses) == 0 {
		return c.ServiceInterface.Patch(ctx, name, kind, data, opts, subresources...)
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	if version := c.client.balancers.Version(loadbalancer.Key(c.namespace, name)); version != "" {
		if written, err := c.write(ctx, name, patch, version); !apierrors.IsConflict(err) {
			return written, err
		}
	}
	return c.confirmAndWrite(ctx, name, patch, addresses)
}

// confirmAndWrite writes addresses of which it has made sure that they are the Service's still.
func (c oneWriteServices) confirmAndWrite(ctx context.Context, name string, patch servicePatch, addresses []string) (written *corev1.Service, err error) {
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		live, err := c.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if live.Spec.Type != corev1.ServiceTypeLoadBalancer || live.DeletionTimestamp != nil {
			return fmt.Errorf("status of Service %s/%s: it wants no address any more", c.namespace, name)
		}
		if err := c.client.balancers.Confirm(ctx, live, addresses); err != nil {
			return err
		}
		written, err = c.write(ctx, name, patch, live.ResourceVersion)
		return err
	})
	return written, err
}

// write writes addresses and the finalizer into the Service, provided that it is of the given version.
func (c oneWriteServices) write(ctx context.Context, name string, patch servicePatch, version string) (*corev1.Service, error) {
	patch["metadata"] = map[string]any{finalizers: []any{helpers.LoadBalancerCleanupFinalizer}, "resourceVersion": version}
	data, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("patch of Service %s/%s: %w", c.namespace, name, err)
	}
	return c.ServiceInterface.Patch(ctx, name, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
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

// addresses returns what the patch makes of the addresses in the status.
func (p servicePatch) addresses() []string {
	status, _ := p["status"].(map[string]any)
	balancer, _ := status["loadBalancer"].(map[string]any)
	ingress, _ := balancer["ingress"].([]any)
	var all []string
	for _, one := range ingress {
		if fields, ok := one.(map[string]any); ok {
			if address, ok := fields["ip"].(string); ok {
				all = append(all, address)
			}
		}
	}
	return all
}
