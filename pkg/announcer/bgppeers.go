// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/bgp"
	"github.com/fairlead-io/fairlead/pkg/l2"
)

// bgpPeer is the session that a BGPPeer asks of this node.
func bgpPeer(v bgpView, p *v1alpha1.BGPPeer) (bgp.Peer, error) {
	s := p.Spec
	out := bgp.Peer{
		Name: p.Name, Interface: s.PeerInterface, ASN: uint32(s.PeerASN), Port: uint16(s.Port),
		HoldTime: duration(s.HoldTime, 0), Keepalive: duration(s.Keepalive, 0), ConnectRetry: duration(s.ConnectRetry, 0),
	}
	var err error
	if out.LocalASN, err = localASN(v.node, s); err != nil {
		return out, err
	}
	if out.Address, err = peerAddress(v.links, s); err != nil {
		return out, err
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
		out.LongLivedStale = duration(s.GracefulRestart.LongLivedStaleTime, 0)
	}
	if s.PasswordSecret != "" {
		pw := v.password(s.PasswordSecret, passwordKey(s))
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

func passwordKey(s v1alpha1.BGPPeerSpec) string {
	if s.PasswordKey != "" {
		return s.PasswordKey
	}
	return secretKey
}

// localASN is the node's own ASN towards the peer.
func localASN(node nodeFacts, s v1alpha1.BGPPeerSpec) (uint32, error) {
	if from := s.LocalASNFrom; from != nil {
		what, key, values := "annotation", from.NodeAnnotation, node.annotations
		if key == "" {
			what, key, values = "label", from.NodeLabel, node.labels
		}
		if text, ok := values[key]; ok {
			n, err := strconv.ParseUint(text, 10, 32)
			if err != nil || n == 0 {
				return 0, fmt.Errorf("spec.localASNFrom: the %s %s of the Node is %q, want a number from 1 to 4294967295", what, key, text)
			}
			return uint32(n), nil
		}
		if s.LocalASN == 0 {
			return 0, fmt.Errorf("spec.localASNFrom: the Node has no %s %s, and there is no spec.localASN", what, key)
		}
	}
	return uint32(s.LocalASN), nil
}

// peerAddress is where the peer is; not valid for an unnumbered one.
func peerAddress(links []l2.Link, s v1alpha1.BGPPeerSpec) (netip.Addr, error) {
	switch s.PeerDiscovery {
	case v1alpha1.DefaultGatewayIPv4:
		return defaultGateway(links, true)
	case v1alpha1.DefaultGatewayIPv6:
		return defaultGateway(links, false)
	}
	if s.PeerAddress == "" {
		return netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(s.PeerAddress)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("spec.peerAddress: %w", err)
	}
	return addr, nil
}

// defaultGateway is the next hop of the default route that the kernel would take.
func defaultGateway(links []l2.Link, four bool) (netip.Addr, error) {
	family := map[bool]string{true: "IPv4", false: "IPv6"}[four]
	var best *l2.DefaultRoute
	var link string
	for _, l := range links {
		for _, r := range l.DefaultRoutes {
			if r.IPv4 == four && l.Up && (best == nil || r.Metric < best.Metric) {
				best, link = &r, l.Name
			}
		}
	}
	switch {
	case best == nil:
		return netip.Addr{}, fmt.Errorf("spec.peerDiscovery: the node has no %s default route", family)
	case !best.Gateway.IsValid():
		return netip.Addr{}, fmt.Errorf("spec.peerDiscovery: the %s default route over %s has no gateway", family, link)
	case best.Gateway.Is6() && best.Gateway.IsLinkLocalUnicast():
		return best.Gateway.WithZone(link), nil
	}
	return best.Gateway, nil
}

// nextHops are the node's addresses towards a peer, of the family that the session does not run over: its own family
// takes the session's address.
func nextHops(links []l2.Link, peer netip.Addr) (four, six netip.Addr) {
	best, rank := l2.Link{}, 0
	for _, l := range links {
		if r := towards(l, peer); r > rank {
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

// towards ranks a link as the way to a peer; 0 means that it is none.
func towards(l l2.Link, peer netip.Addr) int {
	if peer.Zone() != "" {
		if peer.Zone() == l.Name {
			return 2
		}
		return 0
	}
	for _, p := range l.Addresses {
		if p.Masked().Contains(peer) {
			return 2
		}
	}
	if peer.Is4() && l.DefaultRoute4 || peer.Is6() && l.DefaultRoute6 {
		return 1
	}
	return 0
}
