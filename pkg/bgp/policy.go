// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"fmt"
	"net/netip"

	"github.com/osrg/gobgp/v4/api"
)

const (
	// heldSet is the neighbor set of the peers that are told nothing for now.
	heldSet = "held"
	// heldPolicy refuses them everything, and comes first.
	heldPolicy = "hold"
	// ownRoutes is the policy that lets in what this machine announces.
	ownRoutes = "own"
	// nobody keeps neighbor sets from being empty, which GoBGP takes for everybody.
	nobody = "255.255.255.255/32"
)

// ownPolicy accepts the machine's own routes, which GoBGP imports as it does those of peers.
func ownPolicy() *api.Policy {
	return &api.Policy{Name: ownRoutes, Statements: []*api.Statement{{
		Name:       ownRoutes,
		Conditions: &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_LOCAL},
		Actions:    &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_ACCEPT},
	}}}
}

// peerSet is the name of the neighbor set of one peer.
func peerSet(peer string) string { return "peer-" + peer }

// holdPolicy rejects all routes to the peers in heldSet.
func holdPolicy() *api.Policy {
	return &api.Policy{Name: heldPolicy, Statements: []*api.Statement{{
		Name:       heldPolicy,
		Conditions: &api.Conditions{NeighborSet: &api.MatchSet{Name: heldSet, Type: api.MatchSet_TYPE_ANY}},
		Actions:    &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_REJECT},
	}}}
}

// neighborSet is one of GoBGP's sets of neighbors.
func neighborSet(name string, prefixes []string) *api.DefinedSet {
	return &api.DefinedSet{DefinedType: api.DefinedType_DEFINED_TYPE_NEIGHBOR, Name: name, List: prefixes}
}

// hostPrefix is the form of an address in a neighbor set; a link-local one counts without its zone.
func hostPrefix(a netip.Addr) string {
	return netip.PrefixFrom(a.WithZone(""), a.BitLen()).String()
}

// tag is the community that marks the paths of a class inside GoBGP.
func (n class) tag() string { return fmt.Sprintf("%d:%d", uint32(n)>>16, uint32(n)&0xFFFF) }

// set is the name of the community set that has the tag alone.
func (n class) set() string { return fmt.Sprintf("class-%d", n) }

// tagSet is that set.
func tagSet(n class) *api.DefinedSet {
	return &api.DefinedSet{DefinedType: api.DefinedType_DEFINED_TYPE_COMMUNITY, Name: n.set(), List: []string{n.tag()}}
}

// exportPolicy says what each peer is told of each class: one statement for each pair, or one for each family where
// the peer needs a next hop of its own.
func exportPolicy(name string, c *classes, used map[class]bool, peers []Peer) *api.Policy {
	p := &api.Policy{Name: name}
	for _, n := range sortedKeys(used) {
		for _, peer := range peers {
			a, ok := c.told(n, peer.Name)
			if !ok {
				continue
			}
			p.Statements = append(p.Statements,
				exportStatement(fmt.Sprintf("%s/%d/%s/4", name, n, peer.Name), n, peer, a, api.Family_AFI_IP, peer.NextHop4),
				exportStatement(fmt.Sprintf("%s/%d/%s/6", name, n, peer.Name), n, peer, a, api.Family_AFI_IP6, peer.NextHop6))
		}
	}
	return p
}

func exportStatement(name string, n class, peer Peer, a Attributes, afi api.Family_Afi, nextHop netip.Addr) *api.Statement {
	s := &api.Statement{
		Name: name,
		Conditions: &api.Conditions{
			NeighborSet:  &api.MatchSet{Name: peerSet(peer.Name), Type: api.MatchSet_TYPE_ANY},
			CommunitySet: &api.MatchSet{Name: n.set(), Type: api.MatchSet_TYPE_ANY},
			AfiSafiIn:    []*api.Family{{Afi: afi, Safi: api.Family_SAFI_UNICAST}},
		},
		Actions: &api.Actions{
			RouteAction: api.RouteAction_ROUTE_ACTION_ACCEPT,
			Community:   &api.CommunityAction{Type: api.CommunityAction_TYPE_REMOVE, Communities: []string{n.tag()}},
			// GoBGP takes 0 for "leave it as it is": it is 0 in the path.
			LocalPref: &api.LocalPrefAction{Value: defaultLocalPreference},
		},
	}
	if a.LocalPreference != nil {
		s.Actions.LocalPref.Value = *a.LocalPreference
	}
	if a.MED != nil {
		s.Actions.Med = &api.MedAction{Type: api.MedAction_TYPE_REPLACE, Value: int64(*a.MED)}
	}
	// An internal peer would take its own ASN in the path for a loop.
	if a.Prepend > 0 && peer.ASN != peer.LocalASN {
		s.Actions.AsPrepend = &api.AsPrependAction{Asn: peer.LocalASN, Repeat: uint32(a.Prepend)}
	}
	if a.LinkBandwidth > 0 {
		s.Actions.ExtCommunity = &api.CommunityAction{
			Type: api.CommunityAction_TYPE_ADD, Communities: []string{linkBandwidth(peer.LocalASN, a.LinkBandwidth)},
		}
	}
	if nextHop.IsValid() {
		s.Actions.Nexthop = &api.NexthopAction{Address: nextHop.String()}
	}
	standard, large := split(a.Communities)
	if len(standard) > 0 {
		s.Actions.Community = &api.CommunityAction{Type: api.CommunityAction_TYPE_REPLACE, Communities: standard}
	}
	if len(large) > 0 {
		s.Actions.LargeCommunity = &api.CommunityAction{Type: api.CommunityAction_TYPE_REPLACE, Communities: large}
	}
	return s
}

// asTrans stands for an ASN of four bytes where there is room for two (RFC 6793).
const asTrans = 23456

// linkBandwidth is the extended community of a link bandwidth in bytes per second, as GoBGP reads it.
func linkBandwidth(asn, bandwidth uint32) string {
	if asn > 0xFFFF {
		asn = asTrans
	}
	return fmt.Sprintf("lb:%d:%d", asn, bandwidth)
}
