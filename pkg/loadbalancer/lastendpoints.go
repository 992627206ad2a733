// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"fmt"
	"slices"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// ReasonLastEndpoints is the reason of the event that says that an address stays on nodes that are to give it away, because
// only they have endpoints.
const ReasonLastEndpoints = "LastEndpoints"

// heldByEndpoints warns of addresses that nodes have on layer 2 that are to give theirs away.
func (r *Reconciler) heldByEndpoints(vips []*v1alpha1.VirtualIP) []settings.Warning {
	var warnings []settings.Warning
	for _, vip := range vips {
		addr, ok := address(vip)
		if !ok {
			continue // refused by the API server
		}
		want := wishes(&vip.Spec)
		nodes, names := r.mayOwn(&vip.Spec, addr, want)
		if text := explainLeaving(nodes, names, r.config.Rules.of(want)); text != "" {
			warnings = append(warnings, settings.Warning{Reason: ReasonLastEndpoints, Text: vip.Spec.Address + text})
		}
	}
	return warnings
}

// explainLeaving says why an address stays on the nodes of these names, and nothing where they need not give it away.
func explainLeaving(nodes []announcerNode, names []string, rules NodeRules) string {
	var held []string
	for _, candidate := range nodes {
		if why := hindrance(candidate.node, rules); why != "" && slices.Contains(names, candidate.node.Name) {
			held = append(held, fmt.Sprintf("%s (%s)", candidate.node.Name, why))
		}
	}
	if len(held) == 0 {
		return ""
	}
	return " is not taken from " + listed(held) + ": no other node has endpoints, and externalTrafficPolicy is Local"
}
