// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/cloud-provider/service/helpers"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

// reconcileService makes a Service's VirtualIPs and its status what they should be. The finalizer comes with the status,
// in one write, as it does from the stock controller: an address never stands in a status without it. Claims of a Service
// that goes before that write are released as an orphan's.
func (c *Controller) reconcileService(ctx context.Context, key string) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return nil //nolint:nilerr // no key of a Service, and will be none at the next try
	}
	service, err := c.config.Informers.Core().V1().Services().Lister().Services(namespace).Get(name)
	switch {
	case apierrors.IsNotFound(err):
		return c.releaseOrphan(ctx, namespace, name)
	case err != nil:
		return fmt.Errorf("reading Service %s: %w", key, err)
	case c.leaves(service):
		return c.cleanUp(ctx, service)
	case c.managed(service):
	case !helpers.HasLBFinalizer(service):
		return c.releaseOrphan(ctx, namespace, name)
	default:
		return nil // the stock controller cleans up, and takes the finalizer off after that
	}
	status, err := c.config.Balancers.Ensure(ctx, service)
	if err != nil {
		err = c.explain(service, err)
	}
	if status == nil || len(status.Ingress) == 0 {
		return err
	}
	// With an error, what it has stands: its settings are wrong, or it lacks one of two families.
	return errors.Join(err, c.writeStatus(ctx, service, status))
}

// writeStatus writes the addresses of a Service into its status where it does not show them.
func (c *Controller) writeStatus(ctx context.Context, service *corev1.Service, status *corev1.LoadBalancerStatus) error {
	key := keyOf(service)
	first := !helpers.HasLBFinalizer(service)
	if apiequality.Semantic.DeepEqual(service.Status.LoadBalancer.Ingress, status.Ingress) && !first {
		return nil
	}
	changed := service.DeepCopy()
	changed.Status.LoadBalancer = *status
	if first {
		changed.Finalizers = append(changed.Finalizers, helpers.LoadBalancerCleanupFinalizer)
	}
	_, err := helpers.PatchService(c.services, service, changed)
	if apierrors.IsNotFound(err) {
		return c.releaseOrphan(ctx, service.Namespace, service.Name)
	}
	if err != nil {
		return fmt.Errorf("writing the status of Service %s: %w", key, err)
	}
	if first {
		c.config.Events.Event(service, corev1.EventTypeNormal, "EnsuredLoadBalancer", "Ensured load balancer")
		return nil
	}
	klog.FromContext(ctx).Info("restored the status of a Service", "service", klog.KObj(service))
	return nil
}

// explain tells the owner of a Service why it has no address, each reason once. What only the user or a change of pools
// can mend is not tried again before something changed; the stock controller tries now and then all the same.
func (c *Controller) explain(service *corev1.Service, err error) error {
	if !loadbalancer.Permanent(err) {
		return err
	}
	if c.config.Balancers.Told(service, err) {
		c.config.Events.Event(service, corev1.EventTypeWarning, loadbalancer.ReasonOf(err), err.Error())
	}
	return nil
}

// releaseOrphan gives up the claims of a Service that is gone, or that is none of ours any more, when nothing else will:
// a leader died half-way, or somebody took the finalizer off. The API server is asked first, for the cache may be late.
func (c *Controller) releaseOrphan(ctx context.Context, namespace, name string) error {
	uids, err := c.config.Balancers.ClaimUIDs(ctx, namespace, name)
	if err != nil || len(uids) == 0 {
		return err
	}
	live, err := c.config.Kube.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("looking up Service %s/%s, which has addresses and seems to be gone: %w", namespace, name, err)
	}
	if err == nil && (c.managed(live) || helpers.HasLBFinalizer(live)) {
		return nil
	}
	klog.FromContext(ctx).Info("releasing the addresses of a Service that is gone", "service", klog.KRef(namespace, name))
	var errs []error
	for _, uid := range uids {
		errs = append(errs, c.config.Balancers.Release(ctx, namespace, name, uid))
	}
	return errors.Join(errs...)
}
