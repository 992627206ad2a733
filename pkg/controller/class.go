// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/cloud-provider/service/helpers"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

// ofOwnClass tells whether a Service names Fairlead's class.
func ofOwnClass(service *corev1.Service) bool {
	return service.Spec.LoadBalancerClass != nil && !v1alpha1.OtherClass(service)
}

// managed tells whether a Service is one that this program gives addresses to.
func (c *Controller) managed(service *corev1.Service) bool {
	if service.Spec.Type != corev1.ServiceTypeLoadBalancer || service.DeletionTimestamp != nil {
		return false
	}
	if service.Spec.LoadBalancerClass != nil {
		return ofOwnClass(service)
	}
	return c.config.Classless && !elsewhere(service, c.config.Balancers)
}

// hidden tells whether the stock controller is kept from a Service: whatever there is to do for it, this controller does.
// It goes by nothing but the Service, so that both controllers see the same at all times.
func hidden(service *corev1.Service, balancers *loadbalancer.Reconciler) bool {
	return service.Spec.LoadBalancerClass != nil || balancers.Elsewhere(service)
}

// elsewhere tells whether an annotation gives a Service to another controller. One that has addresses of ours keeps them:
// the annotation counts when it is there before them.
func elsewhere(service *corev1.Service, balancers *loadbalancer.Reconciler) bool {
	return balancers.Elsewhere(service) && !balancers.Holds(service)
}

// delay returns how long to wait before this controller acts on a change of a Service.
func (c *Controller) delay(service *corev1.Service) time.Duration {
	if hidden(service, c.config.Balancers) {
		return 0 // nobody else acts on it
	}
	return settle
}

// leaves tells whether a Service gives up its addresses and nobody but this controller will see to it.
func (c *Controller) leaves(service *corev1.Service) bool {
	balances := service.Spec.Type == corev1.ServiceTypeLoadBalancer
	if !helpers.HasLBFinalizer(service) || balances && service.DeletionTimestamp == nil {
		return false
	}
	if ofOwnClass(service) {
		return true
	}
	// The class goes with the type, so a Service that was of our class is known by what it holds.
	unseen := c.config.Balancers.Elsewhere(service) || !balances && !c.config.Classless
	return unseen && c.config.Balancers.Holds(service)
}

// cleanUp lets a Service go, and gives up its addresses after that: until then it is known by them to be ours. Where that
// fails, or nobody is left to do it, they are those of an orphan.
func (c *Controller) cleanUp(ctx context.Context, service *corev1.Service) error {
	changed := service.DeepCopy()
	changed.Status.LoadBalancer = corev1.LoadBalancerStatus{}
	changed.Finalizers = slices.DeleteFunc(changed.Finalizers, func(name string) bool { return name == helpers.LoadBalancerCleanupFinalizer })
	if _, err := helpers.PatchService(c.config.Kube.CoreV1(), service, changed); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("taking the finalizer off Service %s: %w", klog.KObj(service), err)
	}
	if err := c.config.Balancers.Release(ctx, service.Namespace, service.Name, service.UID); err != nil {
		return fmt.Errorf("releasing the addresses of Service %s: %w", klog.KObj(service), err)
	}
	c.config.Events.Event(service, corev1.EventTypeNormal, "DeletedLoadBalancer", "Deleted load balancer")
	return nil
}

// ForStock returns the informer with which to run the stock service controller: it tells of no Service that has a class, or
// that an annotation gives to another controller. Without it, the stock controller would take the finalizer off the former
// when they are deleted, and put its own on the latter. What it tried before the annotation came it tries once more, for
// its lister has all Services; package provider declines then.
func ForStock(services coreinformers.ServiceInformer, balancers *loadbalancer.Reconciler) coreinformers.ServiceInformer {
	return stockServices{ServiceInformer: services, shows: func(service *corev1.Service) bool {
		return !hidden(service, balancers)
	}}
}

type stockServices struct {
	coreinformers.ServiceInformer
	shows func(*corev1.Service) bool
}

// Informer implements coreinformers.ServiceInformer.
func (s stockServices) Informer() cache.SharedIndexInformer {
	return stockInformer{SharedIndexInformer: s.ServiceInformer.Informer(), shows: s.shows}
}

type stockInformer struct {
	cache.SharedIndexInformer
	shows func(*corev1.Service) bool
}

// AddEventHandlerWithResyncPeriod implements cache.SharedInformer. It is the way in which the stock controller asks.
func (i stockInformer) AddEventHandlerWithResyncPeriod(handler cache.ResourceEventHandler, resync time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandlerWithResyncPeriod(cache.FilteringResourceEventHandler{
		FilterFunc: func(obj any) bool {
			service, ok := last(obj).(*corev1.Service)
			return ok && i.shows(service)
		},
		Handler: handler,
	}, resync)
}
