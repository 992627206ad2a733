// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/bgp"
	"github.com/fairlead-io/fairlead/pkg/bgp/community"
	"github.com/fairlead-io/fairlead/pkg/l2"
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
	// passwords by name of the Secret; one that is missing is why.
	passwords map[string]secret
	// localReady tells for each healthCheckNodePort whether this node has ready endpoints.
	localReady map[int32]bool
	// forwarding is false while kube-proxy is dead; withdrawn is set some time after the node began to drain.
	forwarding, withdrawn bool
}

// secret is a password, or why there is none.
type secret struct {
	password string
	err      error
}

// desiredBGP returns what this node should announce to whom, and what is wrong with single peers, by name. A peer with
// an error is not among the desired ones.
func desiredBGP(v bgpView) (bgp.Desired, map[string]error) {
	d := bgp.Desired{RouterID: routerID(v.self, v.addr), Draining: v.node.draining}
	problems := map[string]error{}
	for _, p := range v.peers {
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
	if _, excluded := v.node.labels[corev1.LabelNodeExcludeBalancers]; excluded || !v.forwarding || v.withdrawn {
		return d, problems
	}
	for _, vip := range v.vips {
		if serves(vip, v.localReady) {
			d.Routes = append(d.Routes, bgpRoutes(vip, v.node.labels)...)
		}
	}
	return d, problems
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

// serves tells whether traffic for the address can be served by this node: every Service on it with
// externalTrafficPolicy Local needs ready endpoints here.
func serves(vip *v1alpha1.VirtualIP, localReady map[int32]bool) bool {
	for _, s := range vip.Spec.Services {
		if s.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal && !localReady[s.HealthCheckNodePort] {
			return false
		}
	}
	return len(vip.Spec.Services) > 0
}

// bgpRoutes are the routes of one address from this node.
func bgpRoutes(vip *v1alpha1.VirtualIP, node labels.Set) []bgp.Route {
	addr, err := parseAddress(vip.Spec.Address)
	if err != nil {
		return nil // the schema does not let it happen
	}
	var out []bgp.Route
	for _, a := range vip.Spec.Announce {
		if a.BGP == nil || !selects(a.BGP.NodeSelector, node) {
			continue
		}
		r := bgp.Route{
			Prefix: netip.PrefixFrom(addr, prefixLength(addr, a.BGP.AggregationLength)).Masked(), Peers: a.BGP.Peers,
			Attributes: bgp.Attributes{LocalPreference: a.BGP.LocalPreference, MED: a.BGP.MED},
		}
		for _, text := range a.BGP.Communities {
			// What the schema lets through and is none (65536:1) is left out rather than the address.
			if c, err := community.Parse(string(text)); err == nil {
				r.Communities = append(r.Communities, c)
			}
		}
		out = append(out, r)
	}
	return out
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

// bgpPeer is the session that a BGPPeer asks of this node.
func bgpPeer(v bgpView, p *v1alpha1.BGPPeer) (bgp.Peer, error) {
	s := p.Spec
	out := bgp.Peer{
		Name: p.Name, Interface: s.PeerInterface, ASN: uint32(s.PeerASN), LocalASN: uint32(s.LocalASN),
		Port: uint16(s.Port), HoldTime: duration(s.HoldTime, 0), Keepalive: duration(s.Keepalive, 0),
		ConnectRetry: duration(s.ConnectRetry, 0),
	}
	if s.HoldTime != nil && s.HoldTime.Duration == 0 {
		return out, errors.New("spec.holdTime 0s: sessions without keepalives are not supported, want at least 3s")
	}
	var err error
	if s.PeerAddress != "" {
		if out.Address, err = netip.ParseAddr(s.PeerAddress); err != nil {
			return out, fmt.Errorf("spec.peerAddress: %w", err)
		}
	}
	if s.SourceAddress != "" {
		if out.Source, err = netip.ParseAddr(s.SourceAddress); err != nil {
			return out, fmt.Errorf("spec.sourceAddress: %w", err)
		}
	}
	if s.EBGPMultiHop != nil {
		out.MultiHop = uint8(*s.EBGPMultiHop)
	}
	if s.BFD != nil {
		out.BFD = bgp.BFD{Interval: duration(s.BFD.Interval, defaultBFDInterval), Multiplier: uint8(s.BFD.Multiplier)}
		if out.BFD.Multiplier == 0 {
			out.BFD.Multiplier = defaultBFDMultiplier
		}
	}
	if s.GracefulRestart != nil {
		out.GracefulRestart = duration(s.GracefulRestart.RestartTime, defaultRestartTime)
	}
	if s.PasswordSecret != "" {
		pw, ok := v.passwords[s.PasswordSecret]
		if !ok {
			return out, fmt.Errorf("spec.passwordSecret %q has not been read yet", s.PasswordSecret)
		}
		if pw.err != nil {
			return out, fmt.Errorf("spec.passwordSecret %q: %w", s.PasswordSecret, pw.err)
		}
		out.Password = pw.password
	}
	if out.Address.IsValid() {
		out.NextHop4, out.NextHop6 = nextHops(v.links, out.Address)
	}
	return out, nil
}

// nextHops are the node's addresses towards a peer, of the family that the session does not run over: its own family
// takes the session's address.
func nextHops(links []l2.Link, peer netip.Addr) (four, six netip.Addr) {
	best, rank := l2.Link{}, 0
	for _, l := range links {
		r := 0
		for _, p := range l.Addresses {
			if p.Masked().Contains(peer.WithZone("")) {
				r = 2
			}
		}
		if r == 0 && (peer.Is4() && l.DefaultRoute4 || peer.Is6() && l.DefaultRoute6) {
			r = 1
		}
		if r > rank {
			best, rank = l, r
		}
	}
	for _, p := range best.Addresses {
		a := p.Addr()
		switch {
		case a.IsLinkLocalUnicast():
		case a.Is4() && peer.Is6() && !four.IsValid():
			four = a
		case a.Is6() && peer.Is4() && !six.IsValid():
			six = a
		}
	}
	return four, six
}

func duration(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Duration
}
