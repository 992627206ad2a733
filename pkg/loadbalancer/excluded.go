// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// namedNodes bounds how many nodes an explanation names.
const namedNodes = 3

// listed names nodes in a sentence: the first few, and how many more there are. It sorts them.
func listed(nodes []string) string {
	slices.Sort(nodes)
	text := strings.Join(nodes[:min(namedNodes, len(nodes))], ", ")
	if more := len(nodes) - namedNodes; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// ReasonNoAnnouncer is the reason of the event that says that a label keeps all nodes from announcing an address.
const ReasonNoAnnouncer = "NoAnnouncer"

// excludedEverywhere warns of addresses for which no node is left, on layer 2 or by BGP, because the label
// node.kubernetes.io/exclude-from-external-load-balancers is on every node that could announce them.
func (r *Reconciler) excludedEverywhere(vips []*v1alpha1.VirtualIP) []settings.Warning {
	var warnings []settings.Warning
	for _, vip := range vips {
		addr, ok := address(vip)
		if !ok {
			continue // refused by the API server
		}
		within := slices.DeleteFunc(r.nodesWithAgents(), func(candidate announcerNode) bool {
			how, _ := reach(candidate, addr, vip.Spec.Announce)
			return how == unreachable && !routed(candidate.node, vip.Spec.Announce)
		})
		if text := explainExclusion(&vip.Spec, within, r.config.Rules); text != "" {
			warnings = append(warnings, settings.Warning{Reason: ReasonNoAnnouncer, Text: text})
		}
	}
	return warnings
}

// explainExclusion is the warning for one address and the nodes that reach it, and empty where a node is left. An address that
// has candidates keeps them (see place), and one of these goes on announcing it on layer 2.
func explainExclusion(spec *v1alpha1.VirtualIPSpec, nodes []announcerNode, rules NodeRules) string {
	var labelled []string
	for _, candidate := range nodes {
		if hindrance(candidate.node, rules) != whyExcluded {
			return ""
		}
		labelled = append(labelled, candidate.node.Name)
	}
	if len(labelled) == 0 {
		return ""
	}
	what := "nobody announces " + spec.Address
	if len(spec.Candidates) > 0 {
		what = "no node is left for " + spec.Address + ", which stays on layer 2 where it is"
	}
	return fmt.Sprintf("%s: every node that could announce it has the label %s (%s); take it off, or set nodes.excludeLabel to Ignore in the cloud config",
		what, corev1.LabelNodeExcludeBalancers, listed(labelled))
}
