// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// classKey is the annotation by which a Service was given to another controller before there was spec.loadBalancerClass.
const classKey = v1alpha1.ElsewhereKey

// Elsewhere tells whether an annotation gives a Service to another controller. It reads no other setting, and so cannot
// fail.
func (p *Parser) Elsewhere(service *corev1.Service) bool {
	if len(service.Annotations) == 0 || !slices.Contains(p.active, AlibabaCloud) {
		return false
	}
	if service.Annotations[classKey] != "" {
		return true
	}
	for _, prefix := range AlibabaCloud.prefixes() {
		if _, ok := service.Annotations[prefix+"loadbalancer-tunnel-type"]; ok {
			return true
		}
	}
	return false
}
