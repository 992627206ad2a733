// SPDX-License-Identifier: Apache-2.0

// Package leaving reads off a Node whether it is to give away its addresses.
//
// The controller manager makes no candidate of such a node, and the announcer on the node hands over what it has, whichever
// of the two hears of it first: so both ask here. Signs that mean something in some clusters only (the exclude label, a
// cordon) are the controller manager's, which has the configuration. The package is pure, and must not know what the
// addresses are.
package leaving

import (
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
