// SPDX-License-Identifier: Apache-2.0

// Package leaving reads off a Node whether it is to give away its addresses, or to have none.
//
// The controller manager makes no candidate of such a node, and the announcer on the node hands over what it has, whichever
// of the two hears of it first: so both ask here. What means something in some clusters only (the exclude label, a cordon)
// is no sign: whoever asks knows whether it counts, by the cloud config or by the VirtualIP's nodeRules. The package is
// pure, and must not know what the addresses are.
package leaving

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// Sign says in words for people what on the Node says that it is to give away its addresses; "" if nothing does.
func Sign(node *corev1.Node) string {
	if node.DeletionTimestamp != nil {
		return "the Node is being deleted"
	}
	if node.Annotations[v1alpha1.DrainKey] == "true" || node.Labels[v1alpha1.DrainKey] == "true" {
		return "the node is drained: " + v1alpha1.DrainKey + " is true"
	}
	for _, taint := range node.Spec.Taints {
		if taint.Key == v1alpha1.ScaleDownTaint || taint.Key == corev1.TaintNodeOutOfService {
			return "the Node has the taint " + taint.Key
		}
	}
	return ""
}

// Excluded tells whether the label node.kubernetes.io/exclude-from-external-load-balancers is on a Node with these labels
// and keeps it from announcing. It is read as the service controller reads it: "false" is included, and anything else
// excluded.
func Excluded(labels map[string]string) bool {
	value, ok := labels[corev1.LabelNodeExcludeBalancers]
	if !ok {
		return false
	}
	excluded, err := strconv.ParseBool(value)
	return err != nil || excluded
}
