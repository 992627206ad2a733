// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"cmp"
	"net/netip"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/leaving"
)

// NodeRules say which nodes may announce, where operators differ.
type NodeRules struct {
	// IgnoreExcludeLabel lets nodes with the label node.kubernetes.io/exclude-from-external-load-balancers announce.
	IgnoreExcludeLabel bool
	// LeaveOnCordon makes a cordoned node hand over its addresses.
	LeaveOnCordon bool
}

// onRecord is how a VirtualIP says them: nil where they are the defaults.
func (r NodeRules) onRecord() *v1alpha1.NodeRules {
	if r == (NodeRules{}) {
		return nil
	}
	return &v1alpha1.NodeRules{IgnoreExcludeLabel: r.IgnoreExcludeLabel, LeaveOnCordon: r.LeaveOnCordon}
}

// announcerNode is a node with an agent on it: one that could announce.
type announcerNode struct {
	node       *corev1.Node
	interfaces []v1alpha1.NodeInterface
}

// Why a node may not own an address, in words for people.
const (
	whyCordoned    = "the node is cordoned, and the cloud config or a Service says that such nodes leave"
	whyExcluded    = "the Node has the label " + corev1.LabelNodeExcludeBalancers
	whyNoAgent     = "no announcer has reported from the node"
	whyNoLayer2    = "the address is not announced on layer 2"
	whyNotSelected = "no nodeSelector of the announcement selects the node"
	whyNoInterface = "no interface has the address in its subnet, and none has a default route"
	whyNotNamed    = "no interface has a name that the announcement asks for"
	whyRouted      = "only the default route leads to the address, and other nodes have it in a subnet"
	whyNoEndpoint  = "no ready endpoint on the node, and externalTrafficPolicy is Local"
)

// hindrance says why a node may not announce at all, and nothing where it may: the rules by which the service controller
// chooses nodes, and the signs that a node is about to go. Readiness is none of them: liveness is for the announcers among
// themselves to judge, who see it sooner.
func hindrance(node *corev1.Node, rules NodeRules) string {
	sign := leaving.Sign(node)
	switch {
	case sign != "":
		return sign
	case rules.LeaveOnCordon && node.Spec.Unschedulable:
		return whyCordoned
	case !rules.IgnoreExcludeLabel && leaving.Excluded(node.Labels):
		return whyExcluded
	}
	return ""
}

// mayAnnounce tells whether a node may announce at all.
func mayAnnounce(node *corev1.Node, rules NodeRules) bool { return hindrance(node, rules) == "" }

// eligible returns the names of the nodes that may own an address on layer 2, sorted. withEndpoints, where not nil, are
// the nodes with ready endpoints, which alone may own it (externalTrafficPolicy Local).
func eligible(nodes []announcerNode, address netip.Addr, announce []v1alpha1.Announcement, withEndpoints map[string]bool) []string {
	var chosen []string
	for i, why := range judge(nodes, address, announce, withEndpoints) {
		if why == "" {
			chosen = append(chosen, nodes[i].node.Name)
		}
	}
	slices.SortFunc(chosen, cmp.Compare[string])
	return chosen
}

// judge says of each node why it may not own an address on layer 2, and nothing of those that may.
func judge(nodes []announcerNode, address netip.Addr, announce []v1alpha1.Announcement, withEndpoints map[string]bool) []string {
	reasons := make([]string, len(nodes))
	var routed []int
	direct := false
	for i, candidate := range nodes {
		if withEndpoints != nil && !withEndpoints[candidate.node.Name] {
			reasons[i] = whyNoEndpoint
			continue
		}
		reached, why := reach(candidate, address, announce)
		switch reached {
		case onSubnet:
			direct = true
		case byDefaultRoute:
			routed = append(routed, i)
		case unreachable:
			reasons[i] = why
		}
	}
	if direct {
		for _, i := range routed {
			reasons[i] = whyRouted
		}
	}
	return reasons
}

type reachability int

const (
	unreachable reachability = iota
	byDefaultRoute
	onSubnet
)

// reach tells how an address could be announced from a node: on an interface that the announcement names or whose subnet
// holds the address, or else on the one with the default route. Where it could not, it says why.
func reach(candidate announcerNode, address netip.Addr, announce []v1alpha1.Announcement) (best reachability, why string) {
	why = whyNoLayer2
	for _, entry := range announce {
		if entry.L2 == nil {
			continue
		}
		if !selects(entry.L2.NodeSelector, candidate.node.Labels) {
			if why == whyNoLayer2 {
				why = whyNotSelected
			}
			continue
		}
		if why = whyNoInterface; len(entry.L2.Interfaces) > 0 {
			why = whyNotNamed
		}
		for _, iface := range candidate.interfaces {
			best = max(best, reachThrough(iface, address, entry.L2.Interfaces))
		}
	}
	return best, why
}

// reachThrough follows what the announcer does, which l2.Choose is.
func reachThrough(iface v1alpha1.NodeInterface, address netip.Addr, globs []string) reachability {
	if iface.MAC == "" {
		return unreachable // it has no neighbours
	}
	if len(globs) > 0 {
		if slices.ContainsFunc(globs, func(glob string) bool {
			ok, err := path.Match(glob, iface.Name)
			return err == nil && ok
		}) {
			return onSubnet
		}
		return unreachable
	}
	for _, text := range iface.Addresses {
		if prefix, err := netip.ParsePrefix(text); err == nil && !prefix.IsSingleIP() && prefix.Contains(address) {
			return onSubnet
		}
	}
	if iface.DefaultRoute {
		return byDefaultRoute
	}
	return unreachable
}

// selects tells whether a selector selects an object with these labels; no selector selects all, one that cannot be read
// none.
func selects(selector *metav1.LabelSelector, have map[string]string) bool {
	if selector == nil {
		return true
	}
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(labels.Set(have))
}
