// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

const (
	// settle is how long the stock controller has for a Service that it was told of too. What it does in this time is
	// not done twice.
	settle = 10 * time.Second
	// countAfter is how long changes of VirtualIPs are gathered before the pool's status is written.
	countAfter = 500 * time.Millisecond
	// lookAgain is how long after one look whether a status shows an address the next one comes, unless the Service is
	// seen to change.
	lookAgain = 5 * time.Second
)

func (c *Controller) add(kind kind, name string) { c.queue.Add(item{kind, name}) }

func (c *Controller) addAfter(kind kind, name string, delay time.Duration) {
	c.queue.AddAfter(item{kind, name}, delay)
}

func (c *Controller) serviceHandlers() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { c.addAfter(serviceKind, keyOf(obj), c.delay(obj.(*corev1.Service))) },
		UpdateFunc: func(before, now any) {
			was, is := before.(*corev1.Service), now.(*corev1.Service)
			c.addVirtualIPs(was, is)
			if !maps.Equal(was.Spec.Selector, is.Spec.Selector) {
				c.add(roomKind, "") // of Services with Local traffic, the pods decide who may share an address
			}
			switch {
			case c.managed(is) && lostAddress(was, is), !apiequality.Semantic.DeepEqual(was.Labels, is.Labels):
				c.add(serviceKind, keyOf(is)) // the stock controller does not look at these
			case was.ResourceVersion != is.ResourceVersion:
				c.addAfter(serviceKind, keyOf(is), min(c.delay(was), c.delay(is)))
			}
		},
		DeleteFunc: func(obj any) {
			if service, ok := last(obj).(*corev1.Service); ok {
				c.addVirtualIPs(service, &corev1.Service{})
				c.config.Balancers.Forget(service)
			}
			c.addAfter(serviceKind, keyOf(obj), settle)
		},
	}
}

// addVirtualIPs queues the VirtualIPs of the addresses that the status of a Service shows no more.
func (c *Controller) addVirtualIPs(was, is *corev1.Service) {
	for _, ingress := range was.Status.LoadBalancer.Ingress {
		if addr, err := netip.ParseAddr(ingress.IP); err == nil && !loadbalancer.Shows(is, ingress.IP) {
			c.add(virtualIPKind, ipam.ObjectName(addr))
		}
	}
}

// lostAddress tells whether somebody took addresses out of a Service's status.
func lostAddress(was, is *corev1.Service) bool {
	return len(is.Status.LoadBalancer.Ingress) < len(was.Status.LoadBalancer.Ingress)
}

func (c *Controller) virtualIPHandlers() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			vip := obj.(*v1alpha1.VirtualIP)
			c.addClaimants(vip, settle)
			c.addAfter(virtualIPKind, vip.Name, patience(vip))
			c.addAfter(poolKind, vip.Spec.Pool, countAfter)
		},
		UpdateFunc: func(before, now any) {
			was, is := before.(*v1alpha1.VirtualIP), now.(*v1alpha1.VirtualIP)
			switch {
			case loadbalancer.InConflict(was) != loadbalancer.InConflict(is):
				c.addClaimants(is, 0) // its Services need another address, and no other controller looks at this
			case !apiequality.Semantic.DeepEqual(was.Status.Conditions, is.Status.Conditions):
				c.addClaimants(is, settle)
			}
			if was.Generation != is.Generation {
				c.addClaimants(was, settle)
				c.addClaimants(is, settle)
				c.addAfter(virtualIPKind, is.Name, patience(is))
				c.addAfter(poolKind, is.Spec.Pool, countAfter)
			}
		},
		DeleteFunc: func(obj any) {
			vip, ok := last(obj).(*v1alpha1.VirtualIP)
			if !ok {
				return
			}
			c.addClaimants(vip, 0)
			c.addAfter(poolKind, vip.Spec.Pool, countAfter)
		},
	}
}

// patience returns how long to wait before a VirtualIP is looked at after an event. Nothing tells when the last Service left
// one that is spent: as long as one that waits for a Service which gave it up.
func patience(vip *v1alpha1.VirtualIP) time.Duration {
	if loadbalancer.Spent(vip) {
		return settle
	}
	return 0
}

// addClaimants queues the Services on a VirtualIP.
func (c *Controller) addClaimants(vip *v1alpha1.VirtualIP, delay time.Duration) {
	for _, claim := range vip.Spec.Services {
		c.addAfter(serviceKind, loadbalancer.Key(claim.Namespace, claim.Name), delay)
	}
}

// makeRoom queues all pools, whose counts have changed, and the Services that lack an address, and does so again when the
// time has come for another address.
func (c *Controller) makeRoom() {
	if next := c.config.Balancers.NextRoom(); !next.IsZero() {
		c.addAfter(roomKind, "", time.Until(next))
	}
	c.addAllPools()
	for _, key := range c.config.Balancers.Waiting() {
		c.add(serviceKind, key)
	}
}

// addAll queues every Service that this controller manages.
func (c *Controller) addAll() {
	services, err := c.config.Informers.Core().V1().Services().Lister().List(labels.Everything())
	if err != nil {
		return // a lister of a cache does not fail
	}
	for _, service := range services {
		if c.managed(service) {
			c.add(serviceKind, keyOf(service))
		}
	}
}

func (c *Controller) poolHandlers() cache.ResourceEventHandler {
	changed := func(obj any) {
		if pool, ok := last(obj).(*v1alpha1.AddressPool); ok {
			c.addAfter(poolKind, pool.Name, countAfter)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: changed, DeleteFunc: changed,
		UpdateFunc: func(before, now any) {
			was, is := before.(*v1alpha1.AddressPool), now.(*v1alpha1.AddressPool)
			if was.Generation == is.Generation {
				return
			}
			changed(now)
			if !apiequality.Semantic.DeepEqual(was.Spec.Announce, is.Spec.Announce) {
				c.addAll()
			}
		},
	}
}

// addAllPools queues every pool: a change of one, or of a node's address, may end or begin an overlap with another.
func (c *Controller) addAllPools() {
	pools, err := c.config.Objects.AddressPools().Lister().List(labels.Everything())
	if err != nil {
		return // a lister of a cache does not fail
	}
	for _, pool := range pools {
		c.addAfter(poolKind, pool.Name, countAfter)
	}
}

func (c *Controller) nodeHandlers() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { c.addAll() },
		UpdateFunc: func(before, now any) {
			was, is := before.(*corev1.Node), now.(*corev1.Node)
			if !apiequality.Semantic.DeepEqual(was.Labels, is.Labels) ||
				!apiequality.Semantic.DeepEqual(was.Annotations, is.Annotations) ||
				!apiequality.Semantic.DeepEqual(was.Spec, is.Spec) ||
				(was.DeletionTimestamp == nil) != (is.DeletionTimestamp == nil) {
				c.addAll()
			}
		},
		DeleteFunc: func(any) { c.addAll() },
	}
}

func (c *Controller) announcerHandlers() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { c.addAll() },
		UpdateFunc: func(before, now any) {
			was, is := before.(*v1alpha1.Announcer), now.(*v1alpha1.Announcer)
			if !apiequality.Semantic.DeepEqual(was.Status.Interfaces, is.Status.Interfaces) {
				c.addAll()
			}
			if !slices.Equal(was.Status.Unreachable, is.Status.Unreachable) {
				c.countVotes()
			}
		},
		DeleteFunc: func(any) { c.addAll() },
	}
}

func (c *Controller) endpointSliceHandlers() cache.ResourceEventHandler {
	changed := func(obj any) {
		slice, ok := last(obj).(*discoveryv1.EndpointSlice)
		if !ok {
			return
		}
		name := slice.Labels[discoveryv1.LabelServiceName]
		service, err := c.config.Informers.Core().V1().Services().Lister().Services(slice.Namespace).Get(name)
		if err == nil && c.managed(service) && service.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal {
			c.add(serviceKind, keyOf(service))
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: changed, DeleteFunc: changed, UpdateFunc: func(_, now any) { changed(now) },
	}
}

// keyOf returns the key of an object, or of the last state of one whose deletion was missed.
func keyOf(obj any) string {
	object, ok := last(obj).(metav1.Object)
	if !ok {
		return ""
	}
	return loadbalancer.Key(object.GetNamespace(), object.GetName())
}

// last returns the object of an event, also of one whose deletion was missed.
func last(obj any) any {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		return tombstone.Obj
	}
	return obj
}
