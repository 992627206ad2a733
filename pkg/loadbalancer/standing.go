// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// Standing is how a node stands to an address.
type Standing struct {
	Node string
	// Hindrance says in words why the node may not announce the address on layer 2; empty for one that may.
	Hindrance string
	// BGP tells whether the node may announce the address by BGP.
	BGP bool
}

// Survey is what Standings looks at.
type Survey struct {
	Nodes      []*corev1.Node
	Announcers []*v1alpha1.Announcer
	Slices     []*discoveryv1.EndpointSlice
	Rules      NodeRules
}

// Standings says of every node, by name, whether it may announce an address, by the rules that candidates are chosen by.
func Standings(spec *v1alpha1.VirtualIPSpec, survey Survey) []Standing {
	agents := map[string]*v1alpha1.Announcer{}
	for _, announcer := range survey.Announcers {
		agents[announcer.Name] = announcer
	}
	all := make([]Standing, 0, len(survey.Nodes))
	var able []announcerNode
	rules := survey.Rules.of(wishes(spec))
	for _, node := range survey.Nodes {
		why := hindrance(node, rules)
		agent, reported := agents[node.Name]
		if why == "" && !reported {
			why = whyNoAgent
		}
		if why == "" {
			able = append(able, announcerNode{node: node, interfaces: agent.Status.Interfaces})
			continue
		}
		all = append(all, Standing{Node: node.Name, Hindrance: why})
	}
	address, err := netip.ParseAddr(spec.Address)
	if err != nil {
		return nil // the API server admits no such object
	}
	endpoints := localNodes(spec.Services, func(namespace, name string) map[string]bool {
		return nodesOf(slices.DeleteFunc(slices.Clone(survey.Slices), func(slice *discoveryv1.EndpointSlice) bool {
			return slice.Namespace != namespace || slice.Labels[discoveryv1.LabelServiceName] != name
		}), isReady)
	})
	for i, why := range judge(able, address, spec.Announce, endpoints) {
		name := able[i].node.Name
		byBGP := routed(able[i].node, spec.Announce) && (endpoints == nil || endpoints[name])
		all = append(all, Standing{Node: name, Hindrance: why, BGP: byBGP})
	}
	slices.SortFunc(all, func(a, b Standing) int { return cmp.Compare(a.Node, b.Node) })
	return all
}

// routed tells whether a node is one from which BGP is to announce.
func routed(node *corev1.Node, announce []v1alpha1.Announcement) bool {
	return slices.ContainsFunc(announce, func(entry v1alpha1.Announcement) bool {
		return entry.BGP != nil && selects(entry.BGP.NodeSelector, node.Labels)
	})
}

// Hindrance says why a node may not announce any address, and nothing where it may.
func Hindrance(node *corev1.Node, rules NodeRules) string { return hindrance(node, rules) }

// localNodes returns the nodes that hold ready endpoints of every Service on an address whose externalTrafficPolicy is
// Local; nil where there is no such Service.
func localNodes(claims []v1alpha1.ServiceClaim, endpoints func(namespace, name string) map[string]bool) map[string]bool {
	var common map[string]bool
	for _, claim := range claims {
		if claim.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
			continue
		}
		nodes := endpoints(claim.Namespace, claim.Name)
		if common == nil {
			common = nodes
			continue
		}
		for name := range common {
			if !nodes[name] {
				delete(common, name)
			}
		}
	}
	return common
}

// nodesOf returns the nodes that hold such endpoints.
func nodesOf(slices []*discoveryv1.EndpointSlice, such func(discoveryv1.EndpointConditions) bool) map[string]bool {
	nodes := map[string]bool{}
	for _, slice := range slices {
		for _, endpoint := range slice.Endpoints {
			if endpoint.NodeName != nil && such(endpoint.Conditions) {
				nodes[*endpoint.NodeName] = true
			}
		}
	}
	return nodes
}

func isReady(conditions discoveryv1.EndpointConditions) bool {
	return ptr.Deref(conditions.Ready, true)
}

// isServing is true also for endpoints that terminate and serve until then: kube-proxy uses them where no other is left.
func isServing(conditions discoveryv1.EndpointConditions) bool {
	return ptr.Deref(conditions.Serving, isReady(conditions))
}
