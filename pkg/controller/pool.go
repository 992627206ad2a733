// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

// Reasons of a pool's conditions.
const (
	reasonReady    = "Ready"
	reasonInvalid  = "InvalidSpec"
	reasonDisabled = "Disabled"
	reasonFull     = "Full"
	reasonOverlap  = "Overlap"
	reasonNone     = "NoOverlap"
)

// named bounds how many addresses or overlaps a message lists.
const named = 5

// reconcilePool writes a pool's status and metrics.
func (c *Controller) reconcilePool(ctx context.Context, name string) error {
	pool, err := c.config.Objects.AddressPools().Lister().Get(name)
	if apierrors.IsNotFound(err) {
		c.pools.DeletePartialMatch(map[string]string{"pool": name})
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading AddressPool %s: %w", name, err)
	}
	report := c.config.Balancers.PoolReport(name)
	c.measure(name, report)
	changed := pool.DeepCopy()
	changed.Status.Capacity = capacity(report)
	for _, condition := range conditions(pool, report) {
		condition.ObservedGeneration = pool.Generation
		meta.SetStatusCondition(&changed.Status.Conditions, condition)
	}
	if apiequality.Semantic.DeepEqual(pool.Status, changed.Status) {
		return nil
	}
	_, err = c.config.Client.FairleadV1alpha1().AddressPools().UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) {
		c.addAfter(poolKind, name, countAfter) // the newer version is on its way
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing the status of AddressPool %s: %w", name, err)
	}
	c.warn(pool, changed)
	return nil
}

// warn sends an event for each condition that turned bad.
func (c *Controller) warn(before, now *v1alpha1.AddressPool) {
	for _, condition := range now.Status.Conditions {
		was := meta.FindStatusCondition(before.Status.Conditions, condition.Type)
		bad := condition.Reason == reasonInvalid || condition.Reason == reasonOverlap || condition.Reason == reasonFull
		if bad && (was == nil || was.Reason != condition.Reason || was.Message != condition.Message && condition.Reason != reasonFull) {
			c.config.Events.Event(reference(now), corev1.EventTypeWarning, condition.Reason, condition.Message)
		}
	}
}

// reference names a pool in an event. The recorder cannot do so itself: its scheme has the types of Kubernetes only.
func reference(pool *v1alpha1.AddressPool) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "AddressPool",
		Name: pool.Name, UID: pool.UID, ResourceVersion: pool.ResourceVersion,
	}
}

func capacity(report loadbalancer.PoolReport) v1alpha1.PoolCapacity {
	return v1alpha1.PoolCapacity{
		Total:    report.IPv4.Capacity.Plus(report.IPv6.Capacity).String(),
		Assigned: fmt.Sprint(report.IPv4.Assigned + report.IPv6.Assigned),
		Free:     report.IPv4.Free.Plus(report.IPv6.Free).String(),
	}
}

func conditions(pool *v1alpha1.AddressPool, report loadbalancer.PoolReport) []metav1.Condition {
	ready := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: reasonReady,
		Message: "the pool hands out addresses",
	}
	free := report.IPv4.Free.Plus(report.IPv6.Free)
	switch {
	case report.Err != nil:
		ready.Status, ready.Reason = metav1.ConditionFalse, reasonInvalid
		ready.Message = strings.ReplaceAll(report.Err.Error(), "\n", "; ") + "; the pool hands out nothing until this is mended, what is assigned stays"
	case pool.Spec.Disabled:
		ready.Status, ready.Reason = metav1.ConditionFalse, reasonDisabled
		ready.Message = "spec.disabled is true: what is assigned stays, nothing more is handed out"
	case free.IsZero():
		ready.Status, ready.Reason = metav1.ConditionFalse, reasonFull
		ready.Message = "no address of the pool is free: add addresses, or another pool"
	}
	if len(report.Outside) > 0 {
		ready.Message += "; " + outside(report.Outside)
	}
	overlap := metav1.Condition{
		Type: v1alpha1.ConditionOverlap, Status: metav1.ConditionFalse, Reason: reasonNone,
		Message: "no other pool and no node has addresses of the pool",
	}
	if len(report.Overlaps) > 0 {
		overlap.Status, overlap.Reason, overlap.Message = metav1.ConditionTrue, reasonOverlap, overlaps(report.Overlaps)
	}
	return []metav1.Condition{ready, overlap}
}

func outside(all []ipam.Outside) string {
	var texts []string
	for _, one := range all[:min(len(all), named)] {
		texts = append(texts, fmt.Sprintf("%s (%s)", one.Address, one.Holder.Key))
	}
	return fmt.Sprintf("%d assigned addresses lie outside the pool since it was edited, and stay: %s%s",
		len(all), strings.Join(texts, ", "), more(len(all)))
}

func overlaps(all []ipam.Overlap) string {
	var texts []string
	for _, one := range all[:min(len(all), named)] {
		texts = append(texts, one.String())
	}
	return strings.Join(texts, "; ") + more(len(all))
}

// more says that a list was cut.
func more(n int) string {
	if n <= named {
		return ""
	}
	return fmt.Sprintf(" and %d more", n-named)
}

func (c *Controller) measure(name string, report loadbalancer.PoolReport) {
	for state, count := range map[string]float64{
		"total":       report.IPv4.Capacity.Float64() + report.IPv6.Capacity.Float64(),
		"assigned":    float64(report.IPv4.Assigned + report.IPv6.Assigned),
		"reserved":    float64(report.IPv4.Reserved + report.IPv6.Reserved),
		"quarantined": float64(report.IPv4.Quarantined + report.IPv6.Quarantined),
		"free":        report.IPv4.Free.Float64() + report.IPv6.Free.Float64(),
	} {
		c.pools.WithLabelValues(name, state).Set(count)
	}
}
