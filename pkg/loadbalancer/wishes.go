// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/placement"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// What a step from one preferred zone to the next costs a route.
const (
	defaultLocalPreference = 100
	zoneStep               = 10
	// maxAnnouncements is how many the API takes.
	maxAnnouncements = 8
	maxPrepend       = 16
)

// wishes returns what the Services on an address ask of it as a whole.
func wishes(spec *v1alpha1.VirtualIPSpec) settings.AddressSettings {
	var all []map[string]string
	for _, claim := range spec.Services {
		if len(claim.Settings) > 0 {
			all = append(all, claim.Settings)
		}
	}
	return settings.Merge(all...)
}

// resolve returns how an address is announced whose pool says base, as its Services wish. The error says that the pool
// does not have the way that is asked for.
func resolve(base []v1alpha1.Announcement, want settings.AddressSettings) ([]v1alpha1.Announcement, error) {
	var out []v1alpha1.Announcement
	byL2, byBGP := false, false
	for _, entry := range base {
		entry = *entry.DeepCopy()
		switch {
		case entry.L2 != nil && want.Announce != settings.AnnounceBGP:
			byL2 = true
			if len(want.Interfaces) > 0 {
				entry.L2.Interfaces = want.Interfaces
			}
			entry.L2.NodeSelector = both(entry.L2.NodeSelector, want.NodeSelector())
			out = append(out, entry)
		case entry.BGP != nil && want.Announce != settings.AnnounceL2:
			byBGP = true
			out = append(out, byZone(route(*entry.BGP, want), want.Zones)...)
		}
	}
	for _, way := range []struct {
		missing bool
		name    settings.Announce
	}{{!byL2, settings.AnnounceL2}, {!byBGP, settings.AnnounceBGP}} {
		if way.missing && (want.Announce == way.name || want.Announce == settings.AnnounceBoth) {
			return nil, fmt.Errorf("%w: annotation %s %q: the pool does not announce by %s: expected another value, or another pool",
				settings.ErrInvalid, settings.AnnounceKey, want.Announce, way.name)
		}
	}
	if len(out) > maxAnnouncements {
		return nil, fmt.Errorf("%w: annotation %s: with the pool's announcements these are %d: expected fewer zones, so that they are at most %d",
			settings.ErrInvalid, settings.ZonesKey, len(out), maxAnnouncements)
	}
	return out, nil
}

// route returns the pool's route with what the Services say instead.
func route(bgp v1alpha1.BGPAnnouncement, want settings.AddressSettings) v1alpha1.BGPAnnouncement {
	if len(want.Peers) > 0 {
		bgp.Peers = want.Peers
	}
	if len(want.Communities) > 0 {
		bgp.Communities = nil
		for _, community := range want.Communities {
			bgp.Communities = append(bgp.Communities, v1alpha1.Community(community))
		}
	}
	if want.LocalPreference != nil {
		bgp.LocalPreference = want.LocalPreference
	}
	if want.MED != nil {
		bgp.MED = want.MED
	}
	bgp.ASPathPrepend = cmp.Or(want.Prepend, bgp.ASPathPrepend)
	bgp.LinkBandwidthPerEndpoint = cmp.Or(want.LinkBandwidth, bgp.LinkBandwidthPerEndpoint)
	bgp.NodeSelector = both(bgp.NodeSelector, want.NodeSelector())
	return bgp
}

// byZone makes of one route a route for each zone and one for the nodes outside of them, each less preferred than the one
// before: by local preference inside the autonomous system, by a longer path outside.
func byZone(bgp v1alpha1.BGPAnnouncement, zones []string) []v1alpha1.Announcement {
	if len(zones) == 0 {
		return []v1alpha1.Announcement{{BGP: &bgp}}
	}
	var out []v1alpha1.Announcement
	for i := range len(zones) + 1 {
		within := metav1.LabelSelectorRequirement{Key: corev1.LabelTopologyZone, Operator: metav1.LabelSelectorOpNotIn, Values: zones}
		if i < len(zones) {
			within.Operator, within.Values = metav1.LabelSelectorOpIn, zones[i:i+1]
		}
		one := *bgp.DeepCopy()
		one.NodeSelector = both(one.NodeSelector, &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{within}})
		preference := ptr.Deref(bgp.LocalPreference, defaultLocalPreference)
		one.LocalPreference = new(preference - min(preference, uint32(i*zoneStep)))
		one.ASPathPrepend = min(bgp.ASPathPrepend+int32(i), maxPrepend)
		out = append(out, v1alpha1.Announcement{BGP: &one})
	}
	return out
}

// both returns a selector of what two selectors select; nil selects all.
func both(a, b *metav1.LabelSelector) *metav1.LabelSelector {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	joined := a.DeepCopy()
	for _, requirement := range b.MatchExpressions {
		joined.MatchExpressions = append(joined.MatchExpressions, *requirement.DeepCopy())
	}
	for key, value := range b.MatchLabels {
		switch have, ok := joined.MatchLabels[key]; {
		case ok && have != value: // a map holds one value, and nothing has both
			joined.MatchExpressions = append(joined.MatchExpressions, metav1.LabelSelectorRequirement{
				Key: key, Operator: metav1.LabelSelectorOpIn, Values: []string{value},
			})
		case !ok:
			if joined.MatchLabels == nil {
				joined.MatchLabels = map[string]string{}
			}
			joined.MatchLabels[key] = value
		}
	}
	return joined
}

// of returns the rules for one address.
func (rules NodeRules) of(want settings.AddressSettings) NodeRules {
	rules.LeaveOnCordon = ptr.Deref(want.LeaveOnCordon, rules.LeaveOnCordon)
	return rules
}

// ranked returns nodes with their preference: the position of their zone.
func ranked(names []string, nodes []announcerNode, zones []string) []placement.Node {
	var out []placement.Node
	for _, name := range names {
		one := placement.Node{Name: name}
		if len(zones) > 0 {
			one.Zone = len(zones)
			i := slices.IndexFunc(nodes, func(n announcerNode) bool { return n.node.Name == name })
			if at := slices.Index(zones, nodes[i].node.Labels[corev1.LabelTopologyZone]); at >= 0 {
				one.Zone = at
			}
		}
		out = append(out, one)
	}
	return out
}

// selectsNone tells whether there are nodes, and the Services' selector takes none of them.
func selectsNone(nodes []announcerNode, want settings.AddressSettings) bool {
	selector := want.NodeSelector()
	return selector != nil && len(nodes) > 0 &&
		!slices.ContainsFunc(nodes, func(n announcerNode) bool { return selects(selector, n.node.Labels) })
}
