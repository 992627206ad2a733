// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"cmp"
	"net/netip"
	"path"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// NodeRules say which nodes may announce, where operators differ.
type NodeRules struct {
	// IgnoreExcludeLabel lets nodes with the label node.kubernetes.io/exclude-from-external-load-balancers announce.
	IgnoreExcludeLabel bool
	// LeaveOnCordon makes a cordoned node hand over its addresses.
	LeaveOnCordon bool
}

// announcerNode is a node with an agent on it: one that could announce.
type announcerNode struct {
	node       *corev1.Node
	interfaces []v1alpha1.NodeInterface
}

// mayAnnounce tells whether a node may announce at all: the rules by which the service controller chooses nodes, and the
// signs that a node is about to go. Readiness is none of them: liveness is for the announcers among themselves to judge,
// who see it sooner.
func mayAnnounce(node *corev1.Node, rules NodeRules) bool {
	if node.DeletionTimestamp != nil || rules.LeaveOnCordon && node.Spec.Unschedulable ||
		node.Annotations[v1alpha1.DrainKey] == "true" || node.Labels[v1alpha1.DrainKey] == "true" {
		return false
	}
	if value, ok := node.Labels[corev1.LabelNodeExcludeBalancers]; ok && !rules.IgnoreExcludeLabel {
		// The service controller reads "false" as included, and anything else as excluded.
		if excluded, err := strconv.ParseBool(value); err != nil || excluded {
			return false
		}
	}
	return !slices.ContainsFunc(node.Spec.Taints, func(taint corev1.Taint) bool {
		return taint.Key == v1alpha1.ScaleDownTaint || taint.Key == corev1.TaintNodeOutOfService
	})
}

// eligible returns the names of the nodes that may own an address on layer 2, sorted. withEndpoints, where not nil, are
// the nodes with ready endpoints, which alone may own it (externalTrafficPolicy Local).
func eligible(nodes []announcerNode, address netip.Addr, announce []v1alpha1.Announcement, withEndpoints map[string]bool) []string {
	var direct, routed []string
	for _, candidate := range nodes {
		name := candidate.node.Name
		if withEndpoints != nil && !withEndpoints[name] {
			continue
		}
		switch reach(candidate, address, announce) {
		case onSubnet:
			direct = append(direct, name)
		case byDefaultRoute:
			routed = append(routed, name)
		case unreachable:
		}
	}
	chosen := direct
	if len(chosen) == 0 {
		chosen = routed
	}
	slices.SortFunc(chosen, cmp.Compare[string])
	return chosen
}

type reachability int

const (
	unreachable reachability = iota
	byDefaultRoute
	onSubnet
)

// reach tells how an address could be announced from a node: on an interface that the announcement names or whose subnet
// holds the address, or else on the one with the default route.
func reach(candidate announcerNode, address netip.Addr, announce []v1alpha1.Announcement) reachability {
	best := unreachable
	for _, entry := range announce {
		if entry.L2 == nil || !selects(entry.L2.NodeSelector, candidate.node.Labels) {
			continue
		}
		for _, iface := range candidate.interfaces {
			best = max(best, reachThrough(iface, address, entry.L2.Interfaces))
		}
	}
	return best
}

func reachThrough(iface v1alpha1.NodeInterface, address netip.Addr, globs []string) reachability {
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
		if prefix, err := netip.ParsePrefix(text); err == nil && prefix.Contains(address) {
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
