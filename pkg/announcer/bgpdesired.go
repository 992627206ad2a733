// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"cmp"
	"hash/fnv"
	"math"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/bgp"
	"github.com/fairlead-io/fairlead/pkg/bgp/community"
	"github.com/fairlead-io/fairlead/pkg/l2"
	"github.com/fairlead-io/fairlead/pkg/leaving"
)

// Defaults that the API documents.
const (
	defaultBFDInterval   = 300 * time.Millisecond
	defaultBFDMultiplier = 3
	defaultRestartTime   = 120 * time.Second
)

// bgpView is all that decides about BGP on this node.
type bgpView struct {
	self  string
	node  nodeFacts
	addr  netip.Addr // the node's own
	links []l2.Link
	peers []*v1alpha1.BGPPeer
	vips  []*v1alpha1.VirtualIP
	// password returns what a key of a Secret holds.
	password func(name, key string) secret
	// localReady tells for each healthCheckNodePort whether kube-proxy says that this node has ready endpoints.
	localReady map[int32]bool
	// endpoints counts the ready endpoints of a Service on this node that serve an address; false while not known.
	endpoints func(s v1alpha1.ServiceClaim, addr netip.Addr) (int, bool)
	// elsewhere tells whether a Service has ready endpoints on another node that serve an address; true while not known.
	elsewhere func(s v1alpha1.ServiceClaim, addr netip.Addr) bool
	// open is the gate of an address: whether traffic for it that comes to this node would be served. It is a function of
	// what is known of the address alone.
	open func(addr netip.Addr) bool
	// forwarding is false while kube-proxy is dead.
	forwarding bool
	// leaving has the VirtualIPs whose addresses the node is to give away, and for how long already.
	leaving map[string]time.Duration
}

// desiredBGP returns what this node should announce to whom, and what is wrong with single peers, by name. A peer with
// an error is not among the desired ones. The order of the view's objects, which is that of a map, does not matter: the
// oldest peer comes first, and routes come by the names of their VirtualIPs.
func desiredBGP(v bgpView) (bgp.Desired, map[string]error) {
	d := bgp.Desired{RouterID: routerID(v.self, v.addr)}
	problems := map[string]error{}
	for _, p := range slices.SortedFunc(slices.Values(v.peers), byAge) {
		if !selects(p.Spec.NodeSelector, v.node.labels) {
			continue
		}
		peer, err := bgpPeer(v, p)
		if err != nil {
			problems[p.Name] = err
			continue
		}
		d.Peers = append(d.Peers, peer)
	}
	if !v.forwarding {
		return d, problems
	}
	for _, vip := range slices.SortedFunc(slices.Values(v.vips), byName) {
		d.Routes = append(d.Routes, bgpRoutes(v, vip)...)
	}
	return d, problems
}

func byAge(a, b *v1alpha1.BGPPeer) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

func byName(a, b *v1alpha1.VirtualIP) int { return cmp.Compare(a.Name, b.Name) }

// excluded tells whether the node's label keeps it from announcing an address with these rules.
func excluded(node labels.Set, rules *v1alpha1.NodeRules) bool {
	return leaving.Excluded(node) && (rules == nil || !rules.IgnoreExcludeLabel)
}

// routerID is the node's IPv4 address; without one, a number made of the name (RFC 6286 asks only that it be unique).
func routerID(self string, addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return addr
	}
	h := fnv.New32a()
	h.Write([]byte(self))
	n := h.Sum32() | 1
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// selects tells whether a node selector takes a node; one that cannot be read takes none.
func selects(selector *metav1.LabelSelector, node labels.Set) bool {
	if selector == nil {
		return true
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(node)
}

// serves tells whether traffic for the address can be served by this node, and how many endpoints would: every Service
// on it with externalTrafficPolicy Local needs ready ones here, as kube-proxy and the API server say, whichever knows it
// first. The number is 0 where it is not known, or where it does not matter: with a Service of another policy.
func serves(v bgpView, vip *v1alpha1.VirtualIP, addr netip.Addr) (endpoints int, ok bool) {
	counted := true
	for _, s := range vip.Spec.Services {
		if s.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
			counted = false
			continue
		}
		n, known := v.endpoints(s, addr)
		if !v.localReady[s.HealthCheckNodePort] || known && n == 0 {
			return 0, false
		}
		endpoints += n
		counted = counted && known
	}
	if !counted {
		endpoints = 0
	}
	return endpoints, len(vip.Spec.Services) > 0
}

// bgpRoutes are the routes of one address from this node.
func bgpRoutes(v bgpView, vip *v1alpha1.VirtualIP) []bgp.Route {
	addr, err := parseAddress(vip.Spec.Address)
	leavingFor, leaves := v.leaving[vip.Name]
	if err != nil || !byBGP(vip) || excluded(v.node.labels, vip.Spec.NodeRules) || leaves && leavingFor > drainTime(vip) {
		return nil // the schema does not let the error happen
	}
	endpoints, ok := serves(v, vip, addr)
	if !ok || !v.open(addr) {
		return nil
	}
	var out []bgp.Route
	for _, a := range vip.Spec.Announce {
		if a.BGP == nil || !selects(a.BGP.NodeSelector, v.node.labels) {
			continue
		}
		communities, err := parseCommunities(a.BGP.Communities)
		if err != nil {
			// Neither the schema nor the manager lets it through. Without it the address might go further than it should.
			continue
		}
		out = append(out, bgp.Route{
			Prefix: announcedPrefix(vip, a.BGP), Peers: a.BGP.Peers, Leaving: leaves,
			Attributes: bgp.Attributes{
				Communities: communities, LocalPreference: a.BGP.LocalPreference, MED: a.BGP.MED,
				Prepend: uint8(a.BGP.ASPathPrepend), LinkBandwidth: linkBandwidth(a.BGP.LinkBandwidthPerEndpoint, endpoints),
			},
		})
	}
	return out
}

func parseCommunities(texts []v1alpha1.Community) ([]community.Community, error) {
	var out []community.Community
	for _, text := range texts {
		c, err := community.Parse(string(text))
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// linkBandwidth is in bytes per second, of so many Mbit/s for each endpoint.
func linkBandwidth(perEndpoint int32, endpoints int) uint32 {
	return uint32(min(uint64(perEndpoint)*uint64(endpoints)*(1_000_000/8), math.MaxUint32))
}

// announcedPrefix is what stands for an address in an announcement; not valid where the address is none.
func announcedPrefix(vip *v1alpha1.VirtualIP, a *v1alpha1.BGPAnnouncement) netip.Prefix {
	addr, err := parseAddress(vip.Spec.Address)
	if err != nil {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(addr, prefixLength(addr, a.AggregationLength)).Masked()
}

func prefixLength(addr netip.Addr, l *v1alpha1.AggregationLength) int {
	switch {
	case l != nil && addr.Is4() && l.IPv4 != nil:
		return int(*l.IPv4)
	case l != nil && addr.Is6() && l.IPv6 != nil:
		return int(*l.IPv6)
	}
	return addr.BitLen()
}

func duration(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Duration
}
