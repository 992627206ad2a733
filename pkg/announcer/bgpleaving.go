// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"math"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/bgp"
)

// withdrawAfter is how long a node goes on announcing an address that leaves it as the last resort, unless a Service asks
// for another time.
const withdrawAfter = 10 * time.Second

// leaves tells whether the node is to give an address away: by a sign of its own, or because it is cordoned and the
// address is one for which that counts.
func leaves(node nodeFacts, vip *v1alpha1.VirtualIP) bool {
	return node.draining || node.cordoned && leavesOnCordon(vip.Spec.NodeRules)
}

func leavesOnCordon(rules *v1alpha1.NodeRules) bool { return rules != nil && rules.LeaveOnCordon }

// departures remembers since when addresses leave the node, by the names of their VirtualIPs: zero where it did not
// announce them.
type departures map[string]time.Time

// forgotten is longer than any drain time.
const forgotten = time.Duration(math.MaxInt64)

// follow takes in what the node is to do now, and returns for how long each address that leaves has been leaving. One
// that the node did not announce before, as after a restart, has for ever: nobody has to be led away from it. The time does
// not begin before there is another node to be led to.
func (d departures) follow(v bgpView, announced []bgp.Route, now time.Time) map[string]time.Duration {
	out := map[string]time.Duration{}
	var known map[netip.Prefix]bool
	for _, vip := range v.vips {
		if !byBGP(vip) || !leaves(v.node, vip) {
			continue
		}
		since, leaving := d[vip.Name]
		if !leaving {
			if known == nil {
				known = prefixes(announced)
			}
			for _, a := range vip.Spec.Announce {
				if a.BGP != nil && known[announcedPrefix(vip, a.BGP)] {
					since = now
				}
			}
		}
		if onlyHere(v, vip) {
			since = now
		}
		d[vip.Name] = since
		out[vip.Name] = forgotten
		if !since.IsZero() {
			out[vip.Name] = now.Sub(since)
		}
	}
	for name := range d {
		if _, leaving := out[name]; !leaving {
			delete(d, name)
		}
	}
	return out
}

// onlyHere tells whether no other node has endpoints of a Service on the address, and only a node that has may take its
// traffic.
func onlyHere(v bgpView, vip *v1alpha1.VirtualIP) bool {
	addr, err := parseAddress(vip.Spec.Address)
	return err == nil && slices.ContainsFunc(vip.Spec.Services, func(s v1alpha1.ServiceClaim) bool {
		return s.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal && !v.elsewhere(s, addr)
	})
}

// untilWithdrawal is the time until the next address that leaves has left, and at least a moment.
func untilWithdrawal(v bgpView) time.Duration {
	next := forgotten
	for _, vip := range v.vips {
		if leavingFor, leaving := v.leaving[vip.Name]; leaving && leavingFor <= drainTime(vip) {
			next = min(next, drainTime(vip)-leavingFor+time.Millisecond)
		}
	}
	return next
}

func prefixes(routes []bgp.Route) map[netip.Prefix]bool {
	out := make(map[netip.Prefix]bool, len(routes))
	for _, r := range routes {
		out[r.Prefix] = true
	}
	return out
}

// drainTime is how long an address that leaves is announced as the last resort: as long as the most patient of its
// Services asks for.
func drainTime(vip *v1alpha1.VirtualIP) time.Duration {
	longest := time.Duration(-1)
	for _, s := range vip.Spec.Services {
		if s.DrainTimeoutSeconds != nil {
			longest = max(longest, time.Duration(*s.DrainTimeoutSeconds)*time.Second)
		}
	}
	if longest < 0 {
		return withdrawAfter
	}
	return longest
}
