// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/bgp"
	"github.com/fairlead-io/fairlead/pkg/l2"
)

type peerCase struct {
	name string
	spec v1alpha1.BGPPeerSpec
	want bgp.Peer
	err  string
}

func TestDesiredPeers(t *testing.T) {
	hops := int32(3)
	tryPeers(t, []peerCase{
		{
			name: "plain", spec: v1alpha1.BGPPeerSpec{PeerAddress: "192.0.2.254"},
			want: bgp.Peer{Address: netip.MustParseAddr("192.0.2.254"), NextHop6: netip.MustParseAddr("fd00::1")},
		},
		{
			name: "over ipv6", spec: v1alpha1.BGPPeerSpec{PeerAddress: "fd00::fe"},
			want: bgp.Peer{Address: netip.MustParseAddr("fd00::fe"), NextHop4: netip.MustParseAddr("192.0.2.1")},
		},
		{name: "unnumbered", spec: v1alpha1.BGPPeerSpec{PeerInterface: "eth0"}, want: bgp.Peer{Interface: "eth0"}},
		{
			name: "defaults of bfd and graceful restart", spec: v1alpha1.BGPPeerSpec{
				PeerInterface: "eth0", BFD: &v1alpha1.BFD{}, GracefulRestart: &v1alpha1.GracefulRestart{},
			},
			want: bgp.Peer{Interface: "eth0", BFD: bgp.BFD{Interval: 300 * time.Millisecond, Multiplier: 3}, GracefulRestart: 120 * time.Second},
		},
		{
			name: "multihop, password", spec: v1alpha1.BGPPeerSpec{PeerAddress: "198.51.100.1", EBGPMultiHop: &hops, PasswordSecret: "good"},
			want: bgp.Peer{Address: netip.MustParseAddr("198.51.100.1"), MultiHop: 3, Password: "pw"},
		},
	})
}

func TestDesiredPeersOfTheNode(t *testing.T) {
	fromNode := func(key string) *v1alpha1.LocalASNSource { return &v1alpha1.LocalASNSource{NodeAnnotation: key} }
	tryPeers(t, []peerCase{
		{
			name: "password by key", spec: v1alpha1.BGPPeerSpec{PeerInterface: "eth0", PasswordSecret: "good", PasswordKey: "tor-a"},
			want: bgp.Peer{Interface: "eth0", Password: "other"},
		},
		{
			name: "long-lived graceful restart", spec: v1alpha1.BGPPeerSpec{
				PeerInterface: "eth0", GracefulRestart: &v1alpha1.GracefulRestart{LongLivedStaleTime: &metav1.Duration{Duration: time.Hour}},
			},
			want: bgp.Peer{Interface: "eth0", GracefulRestart: 120 * time.Second, LongLivedStale: time.Hour},
		},
		{
			name: "default gateway of the lowest metric that is up", spec: v1alpha1.BGPPeerSpec{PeerDiscovery: v1alpha1.DefaultGatewayIPv4},
			want: bgp.Peer{Address: netip.MustParseAddr("192.0.2.254"), NextHop6: netip.MustParseAddr("fd00::1")},
		},
		{
			name: "link-local default gateway", spec: v1alpha1.BGPPeerSpec{PeerDiscovery: v1alpha1.DefaultGatewayIPv6},
			want: bgp.Peer{Address: netip.MustParseAddr("fe80::fe%eth0"), NextHop4: netip.MustParseAddr("192.0.2.1")},
		},
		{
			name: "ASN of the node", spec: v1alpha1.BGPPeerSpec{PeerInterface: "eth0", LocalASNFrom: fromNode("fairlead.dev/bgp-local-asn")},
			want: bgp.Peer{Interface: "eth0", LocalASN: 4200000001},
		},
		{
			name: "ASN by label", spec: v1alpha1.BGPPeerSpec{PeerInterface: "eth0", LocalASNFrom: &v1alpha1.LocalASNSource{NodeLabel: "asn"}},
			want: bgp.Peer{Interface: "eth0", LocalASN: 64600},
		},
		{
			name: "node without an ASN", spec: v1alpha1.BGPPeerSpec{PeerInterface: "eth0", LocalASNFrom: fromNode("missing")},
			want: bgp.Peer{Interface: "eth0", LocalASN: 64512},
		},
		{
			name: "ASN that is none", spec: v1alpha1.BGPPeerSpec{PeerInterface: "eth0", LocalASNFrom: fromNode("wrong")},
			err: `the annotation wrong of the Node is "AS1", want a number from 1 to 4294967295`,
		},
		{name: "ASN 0", spec: v1alpha1.BGPPeerSpec{PeerInterface: "eth0", LocalASNFrom: fromNode("zero")}, err: `is "0", want a number`},
		{name: "secret forbidden", spec: v1alpha1.BGPPeerSpec{PeerAddress: "192.0.2.254", PasswordSecret: "bad"}, err: `spec.passwordSecret "bad": forbidden`},
		{name: "secret not read", spec: v1alpha1.BGPPeerSpec{PeerAddress: "192.0.2.254", PasswordSecret: "other"}, err: "not been read"},
	})
}

func tryPeers(t *testing.T, tests []peerCase) {
	t.Helper()
	links := []l2.Link{{Name: "eth0", Addresses: []netip.Prefix{
		netip.MustParsePrefix("192.0.2.1/24"),
		netip.MustParsePrefix("fe80::1/64"), netip.MustParsePrefix("fd00::1/64"),
	}, DefaultRoutes: []l2.DefaultRoute{
		{IPv4: true, Gateway: netip.MustParseAddr("192.0.2.99"), Metric: 200},
		{Gateway: netip.MustParseAddr("fe80::fe"), Metric: 1024},
	}, Up: true}, {Name: "eth1", DefaultRoutes: []l2.DefaultRoute{
		{IPv4: true, Gateway: netip.MustParseAddr("192.0.2.254"), Metric: 100},
	}, Up: true}, {Name: "eth2", DefaultRoutes: []l2.DefaultRoute{
		{IPv4: true, Gateway: netip.MustParseAddr("198.51.100.1"), Metric: 50},
	}}}
	node := nodeFacts{
		annotations: map[string]string{"fairlead.dev/bgp-local-asn": "4200000001", "wrong": "AS1", "zero": "0"},
		labels:      labels.Set{"asn": "64600"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.PeerASN, tt.spec.LocalASN = 64500, 64512
			tt.want.ASN, tt.want.Name = 64500, "p"
			if tt.want.LocalASN == 0 {
				tt.want.LocalASN = 64512
			}
			d, problems := desiredBGP(bgpView{
				links: links, node: node, password: func(name, key string) secret {
					return map[string]secret{
						"good/password": {password: "pw"}, "good/tor-a": {password: "other"}, "bad/password": {err: errors.New("forbidden")},
						"other/password": {err: errNotRead},
					}[name+"/"+key]
				},
				peers: []*v1alpha1.BGPPeer{{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: tt.spec}},
			})
			if tt.err != "" {
				if err := problems["p"]; err == nil || !strings.Contains(err.Error(), tt.err) || len(d.Peers) > 0 {
					t.Errorf("problem %v, peers %v, want %q", err, d.Peers, tt.err)
				}
				return
			}
			if !slices.Equal(d.Peers, []bgp.Peer{tt.want}) {
				t.Errorf("got %+v, %v, want %+v", d.Peers, problems, tt.want)
			}
		})
	}
}

func TestNoDefaultGateway(t *testing.T) {
	device := []l2.Link{{Name: "ppp0", Up: true, DefaultRoutes: []l2.DefaultRoute{{IPv4: true}}}}
	for _, tt := range []struct {
		links []l2.Link
		four  bool
		want  string
	}{
		{nil, true, "the node has no IPv4 default route"},
		{device, false, "the node has no IPv6 default route"},
		{device, true, "the IPv4 default route over ppp0 has no gateway"},
	} {
		if got, err := defaultGateway(tt.links, tt.four); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, %v, want an error with %q", got, err, tt.want)
		}
	}
}

func TestNeitherASN(t *testing.T) {
	_, err := localASN(nodeFacts{}, v1alpha1.BGPPeerSpec{LocalASNFrom: &v1alpha1.LocalASNSource{NodeLabel: "asn"}})
	if err == nil || !strings.Contains(err.Error(), "the Node has no label asn, and there is no spec.localASN") {
		t.Errorf("got %v", err)
	}
}
