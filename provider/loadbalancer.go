// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	cloudprovider "k8s.io/cloud-provider"

	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

// callTimeout bounds a call: the framework hands UpdateLoadBalancer a context that never ends.
const callTimeout = 30 * time.Second

// loadBalancers answers the stock service controller. The nodes it is handed are not used: which nodes announce is worked
// out from the Nodes themselves and from their agents, in the same way for every caller.
type loadBalancers struct{ reconciler *loadbalancer.Reconciler }

var _ cloudprovider.LoadBalancer = loadBalancers{}

// GetLoadBalancer implements cloudprovider.LoadBalancer: exists is true while the Service has any claim left.
func (l loadBalancers) GetLoadBalancer(ctx context.Context, _ string, service *corev1.Service) (*corev1.LoadBalancerStatus, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return l.reconciler.Get(ctx, service)
}

// GetLoadBalancerName implements cloudprovider.LoadBalancer.
func (l loadBalancers) GetLoadBalancerName(_ context.Context, _ string, service *corev1.Service) string {
	return loadbalancer.Key(service.Namespace, service.Name)
}

// EnsureLoadBalancer implements cloudprovider.LoadBalancer.
func (l loadBalancers) EnsureLoadBalancer(ctx context.Context, _ string, service *corev1.Service, _ []*corev1.Node) (*corev1.LoadBalancerStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return l.reconciler.Ensure(ctx, service)
}

// UpdateLoadBalancer implements cloudprovider.LoadBalancer.
func (l loadBalancers) UpdateLoadBalancer(ctx context.Context, _ string, service *corev1.Service, _ []*corev1.Node) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := l.reconciler.Ensure(ctx, service)
	return err
}

// EnsureLoadBalancerDeleted implements cloudprovider.LoadBalancer. It needs nothing of the Service but its name and UID.
func (l loadBalancers) EnsureLoadBalancerDeleted(ctx context.Context, _ string, service *corev1.Service) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return l.reconciler.Release(ctx, service.Namespace, service.Name, service.UID)
}
