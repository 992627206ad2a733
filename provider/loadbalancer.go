// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	cloudprovider "k8s.io/cloud-provider"
	"k8s.io/cloud-provider/api"

	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// callTimeout bounds a call: the framework hands UpdateLoadBalancer a context that never ends.
const callTimeout = 30 * time.Second

// invalidRetry is when the service controller asks again for a Service whose settings are wrong: an edit of the Service
// comes before, and a change of pools is for the controller of pkg/controller to see.
const invalidRetry = 24 * time.Hour

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
	status, err := l.reconciler.Ensure(ctx, service)
	if errors.Is(err, settings.ErrInvalid) {
		l.reconciler.Told(service, err) // the service controller makes an event of it
		return nil, api.NewRetryError(err.Error(), invalidRetry)
	}
	if err != nil {
		return nil, err
	}
	return status, nil
}

// UpdateLoadBalancer implements cloudprovider.LoadBalancer.
func (l loadBalancers) UpdateLoadBalancer(ctx context.Context, _ string, service *corev1.Service, _ []*corev1.Node) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := l.reconciler.Ensure(ctx, service)
	if errors.Is(err, settings.ErrInvalid) {
		return nil // EnsureLoadBalancer told it; what stands was brought up to date all the same
	}
	return err
}

// EnsureLoadBalancerDeleted implements cloudprovider.LoadBalancer. It needs nothing of the Service but its name and UID.
func (l loadBalancers) EnsureLoadBalancerDeleted(ctx context.Context, _ string, service *corev1.Service) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return l.reconciler.Release(ctx, service.Namespace, service.Name, service.UID)
}
