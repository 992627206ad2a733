// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Condition types of Fairlead's objects.
const (
	// ConditionReady of an AddressPool: it can hand out addresses. Of an Announcer: it takes part.
	ConditionReady = "Ready"
	// ReasonMinority of an Announcer's Ready: it sees no majority of the announcers, and announces nothing on layer 2.
	ReasonMinority = "Minority"
	// ReasonStopped of an Announcer's Ready: it has ended on request.
	ReasonStopped = "Stopped"
	// ConditionOverlap of an AddressPool: another pool that came first, or a node, has part of its addresses.
	ConditionOverlap = "Overlap"
	// ConditionAnnounced of a VirtualIP: a node answers for the address.
	ConditionAnnounced = "Announced"
	// ConditionConflict of a VirtualIP: a station outside the cluster uses the address.
	ConditionConflict = "Conflict"
	// ConditionHealthy of a VirtualIP with health checks: they pass on the node that announces it on layer 2; of one that is
	// announced by BGP alone, on some of the nodes that do.
	ConditionHealthy = "Healthy"
)

// Who serves a Service of type LoadBalancer.
const (
	// LoadBalancerClass is the spec.loadBalancerClass of Services that Fairlead serves whatever else there is in the
	// cluster. Services without a class it serves too, unless it is told otherwise.
	LoadBalancerClass = "fairlead.dev/fairlead"
	// ElsewhereKey is an annotation that gives a Service to another controller, with any value but the empty one.
	ElsewhereKey = "service.beta.kubernetes.io/class"
)

// DecommissionedKey is an annotation of a Node: any value but "false" tells that the machine is gone for good. Only then, and
// only while the node is not ready, is the Node object deleted.
const DecommissionedKey = "fairlead.dev/decommissioned"

// Signs on a Node that it shall hand over its addresses.
const (
	// DrainKey is an annotation or label that says so with the value true.
	DrainKey = "fairlead.dev/drain"
	// ScaleDownTaint is the key of the taint that the cluster autoscaler sets on a node it is about to remove.
	ScaleDownTaint = "ToBeDeletedByClusterAutoscaler"
)

// OtherClass tells whether a Service names a class that is not Fairlead's: it is another controller's.
func OtherClass(service *corev1.Service) bool {
	class := service.Spec.LoadBalancerClass
	return class != nil && *class != LoadBalancerClass
}

// StoppedGrace is how long an agent that was stopped goes on counting: restarting them one after the other changes no
// majority. It is compared with another node's clock, and needs no precision.
const StoppedGrace = time.Minute

// StoppedForGood tells whether an agent was stopped long enough ago that it counts in no majority.
func StoppedForGood(announcer *Announcer, now time.Time) bool {
	c := meta.FindStatusCondition(announcer.Status.Conditions, ConditionReady)
	return c != nil && c.Status == metav1.ConditionFalse && c.Reason == ReasonStopped && now.Sub(c.LastTransitionTime.Time) >= StoppedGrace
}
