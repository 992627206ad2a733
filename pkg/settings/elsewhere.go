// SPDX-License-Identifier: Apache-2.0

package settings

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// classKey is the annotation by which a Service was given to another controller before there was spec.loadBalancerClass.
const classKey = v1alpha1.ElsewhereKey

// Elsewhere tells whether an annotation gives a Service to another controller. It reads no other setting, and so cannot
// fail.
func (p *Parser) Elsewhere(service *corev1.Service) bool {
	for key, value := range service.Annotations {
		if at, ok := p.spelling(key); ok && p.rows[at.row].Level == OfController && (value != "" || p.rows[at.row].asIs) {
			return true
		}
	}
	return false
}
