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

// callTimeout bounds a call: the framework's contexts end with the process.
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

// EnsureLoadBalancer implements cloudprovider.LoadBalancer. The service controller is not told of Services that an
// annotation gives to another controller, but it comes back to one that it could not serve before the annotation was there.
func (l loadBalancers) EnsureLoadBalancer(ctx context.Context, _ string, service *corev1.Service, _ []*corev1.Node) (*corev1.LoadBalancerStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if l.reconciler.Elsewhere(service) {
		return nil, cloudprovider.ImplementedElsewhere
	}
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

// UpdateLoadBalancer implements cloudprovider.LoadBalancer. The service controller calls it with Services as it saw them
// last, some of which are gone. The controller of pkg/controller watches the nodes too, and looks at Services as they are.
func (l loadBalancers) UpdateLoadBalancer(context.Context, string, *corev1.Service, []*corev1.Node) error {
	return cloudprovider.ImplementedElsewhere
}

// EnsureLoadBalancerDeleted implements cloudprovider.LoadBalancer. It needs nothing of the Service but its name and UID.
func (l loadBalancers) EnsureLoadBalancerDeleted(ctx context.Context, _ string, service *corev1.Service) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return l.reconciler.Release(ctx, service.Namespace, service.Name, service.UID)
}
