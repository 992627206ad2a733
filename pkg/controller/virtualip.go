// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

// byShownAddress is the index of Services by the addresses that their status shows.
const byShownAddress = "fairlead-shown-address"

// shownAddresses implements cache.IndexFunc for byShownAddress. What a Service of another controller's class shows is none
// of our addresses.
func shownAddresses(obj any) ([]string, error) {
	service, ok := obj.(*corev1.Service)
	if !ok || v1alpha1.OtherClass(service) {
		return nil, nil
	}
	var all []string
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if addr, err := netip.ParseAddr(ingress.IP); err == nil {
			all = append(all, addr.String())
		}
	}
	return all, nil
}

// reconcileVirtualIP deletes a VirtualIP that was kept long enough for a Service that gave it up, or that a user does not
// retain any more, once no status shows it. One that a user made a reservation meanwhile stays, and is kept for nobody.
func (c *Controller) reconcileVirtualIP(ctx context.Context, name string) error {
	vip, err := c.config.Objects.VirtualIPs().Lister().Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading VirtualIP %s: %w", name, err)
	}
	switch {
	case loadbalancer.Spent(vip):
		return c.end(ctx, vip)
	case vip.Spec.ReservedFor == nil:
		return nil
	case vip.Spec.ReclaimPolicy == v1alpha1.ReclaimRetain:
		return c.config.Balancers.SetAside(ctx, vip)
	case vip.Spec.ReservedFor.Until == nil:
		return nil
	}
	if left := time.Until(vip.Spec.ReservedFor.Until.Time); left > 0 {
		c.addAfter(virtualIPKind, name, left)
		return nil
	}
	return c.end(ctx, vip)
}

// end deletes a VirtualIP that is kept for nobody any more, as soon as no status shows its address.
func (c *Controller) end(ctx context.Context, vip *v1alpha1.VirtualIP) error {
	shown, err := c.shown(ctx, vip)
	if err != nil {
		return err
	}
	if shown {
		c.addAfter(virtualIPKind, vip.Name, lookAgain) // and at once when the Service changes
		return nil
	}
	return c.config.Balancers.EndReservation(ctx, vip)
}

// shown tells whether the status of a Service shows the address of a VirtualIP still: of the one that it is kept for, or of
// another, which left before and whose status nobody wrote since. For the one that left last the API server is asked: the
// cache may be late.
func (c *Controller) shown(ctx context.Context, vip *v1alpha1.VirtualIP) (bool, error) {
	keys, err := c.config.Informers.Core().V1().Services().Informer().GetIndexer().IndexKeys(byShownAddress, vip.Spec.Address)
	if err != nil {
		return false, fmt.Errorf("looking which Services show %s: %w", vip.Spec.Address, err)
	}
	reserved := vip.Spec.ReservedFor
	if reserved == nil {
		return len(keys) > 0, nil
	}
	last := loadbalancer.Key(reserved.Namespace, reserved.Name)
	if slices.ContainsFunc(keys, func(key string) bool { return key != last }) {
		return true, nil
	}
	live, err := c.config.Kube.CoreV1().Services(reserved.Namespace).Get(ctx, reserved.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking whether Service %s shows %s: %w", last, vip.Spec.Address, err)
	}
	return loadbalancer.Shows(live, vip.Spec.Address), nil
}
