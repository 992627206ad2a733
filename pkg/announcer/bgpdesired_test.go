// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/bgp"
	"github.com/fairlead-io/fairlead/pkg/l2"
)

func bgpVIP(addr string, announce v1alpha1.BGPAnnouncement, services ...v1alpha1.ServiceClaim) *v1alpha1.VirtualIP {
	return &v1alpha1.VirtualIP{Spec: v1alpha1.VirtualIPSpec{
		Address: addr, Services: services, Announce: []v1alpha1.Announcement{{L2: &v1alpha1.L2Announcement{}}, {BGP: &announce}},
	}}
}

func cluster() v1alpha1.ServiceClaim {
	return v1alpha1.ServiceClaim{ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyCluster}
}

func local(port int32) v1alpha1.ServiceClaim {
	return v1alpha1.ServiceClaim{ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, HealthCheckNodePort: port}
}

func TestDesiredRoutes(t *testing.T) {
	twentyfour := int32(24)
	rack := func(name string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"rack": name}}
	}
	tests := []struct {
		name   string
		vip    *v1alpha1.VirtualIP
		change func(*bgpView)
		want   string // prefixes
	}{
		{name: "host route", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, cluster()), want: "10.0.0.9/32"},
		{name: "ipv6", vip: bgpVIP("fd00::9", v1alpha1.BGPAnnouncement{}, cluster()), want: "fd00::9/128"},
		{
			name: "aggregate", want: "10.0.0.0/24",
			vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{AggregationLength: &v1alpha1.AggregationLength{IPv4: &twentyfour}}, cluster()),
		},
		{name: "reservation without services", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{})},
		{name: "not by bgp", vip: &v1alpha1.VirtualIP{Spec: v1alpha1.VirtualIPSpec{
			Address: "10.0.0.9", Services: []v1alpha1.ServiceClaim{cluster()}, Announce: []v1alpha1.Announcement{{L2: &v1alpha1.L2Announcement{}}},
		}}},
		{name: "node selected", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{NodeSelector: rack("a")}, cluster()), want: "10.0.0.9/32"},
		{name: "other nodes selected", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{NodeSelector: rack("b")}, cluster())},
		{
			name: "node excluded", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, cluster()),
			change: func(v *bgpView) { v.node.labels[corev1.LabelNodeExcludeBalancers] = "" },
		},
		{
			name: "kube-proxy dead", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, cluster()),
			change: func(v *bgpView) { v.forwarding = false },
		},
		{
			name: "drained long enough", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, cluster()),
			change: func(v *bgpView) { v.withdrawn = true },
		},
		{name: "local with endpoints", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, local(30001)), want: "10.0.0.9/32"},
		{name: "local without endpoints", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, local(30002))},
		{name: "local not asked yet", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, local(30003))},
		{name: "shared, one local without endpoints", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, cluster(), local(30002))},
		{name: "shared, all served", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, cluster(), local(30001)), want: "10.0.0.9/32"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := bgpView{
				self: "n1", node: nodeFacts{labels: labels.Set{"rack": "a"}}, addr: netip.MustParseAddr("192.0.2.1"), forwarding: true,
				vips: []*v1alpha1.VirtualIP{tt.vip}, localReady: map[int32]bool{30001: true, 30002: false},
			}
			if tt.change != nil {
				tt.change(&v)
			}
			d, problems := desiredBGP(v)
			var got []string
			for _, r := range d.Routes {
				got = append(got, r.Prefix.String())
			}
			if strings.Join(got, " ") != tt.want || len(problems) > 0 {
				t.Errorf("got %q, problems %v, want %q", got, problems, tt.want)
			}
		})
	}
}

func TestDesiredAttributes(t *testing.T) {
	pref, med := uint32(200), uint32(0)
	d, _ := desiredBGP(bgpView{forwarding: true, vips: []*v1alpha1.VirtualIP{bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{
		Peers: []string{"tor-a"}, Communities: []v1alpha1.Community{"64512:100", "no-export", "99999:1"}, LocalPreference: &pref, MED: &med,
	}, cluster())}})
	r := d.Routes[0]
	if got := fmt.Sprint(r.Communities, r.Peers, *r.LocalPreference, *r.MED); got != "[64512:100 65535:65281] [tor-a] 200 0" {
		t.Errorf("got %s", got)
	}
}

func TestDesiredPeers(t *testing.T) {
	links := []l2.Link{{Name: "eth0", Addresses: []netip.Prefix{
		netip.MustParsePrefix("192.0.2.1/24"),
		netip.MustParsePrefix("fe80::1/64"), netip.MustParsePrefix("fd00::1/64"),
	}}}
	hops := int32(3)
	tests := []struct {
		name string
		spec v1alpha1.BGPPeerSpec
		want bgp.Peer
		err  string
	}{
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
		{name: "secret forbidden", spec: v1alpha1.BGPPeerSpec{PeerAddress: "192.0.2.254", PasswordSecret: "bad"}, err: `spec.passwordSecret "bad": forbidden`},
		{name: "secret not read", spec: v1alpha1.BGPPeerSpec{PeerAddress: "192.0.2.254", PasswordSecret: "other"}, err: "not been read"},
		{name: "no hold time", spec: v1alpha1.BGPPeerSpec{PeerAddress: "192.0.2.254", HoldTime: &metav1.Duration{}}, err: "spec.holdTime 0s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.PeerASN, tt.spec.LocalASN = 64500, 64512
			tt.want.ASN, tt.want.LocalASN, tt.want.Name = 64500, 64512, "p"
			d, problems := desiredBGP(bgpView{
				links: links, passwords: map[string]secret{"good": {password: "pw"}, "bad": {err: fmt.Errorf("forbidden")}},
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

func TestRouterID(t *testing.T) {
	if got := routerID("n1", netip.MustParseAddr("192.0.2.1")); got.String() != "192.0.2.1" {
		t.Errorf("with an IPv4 address: %v", got)
	}
	a, b := routerID("n1", netip.MustParseAddr("fd00::1")), routerID("n2", netip.MustParseAddr("fd00::2"))
	if !a.Is4() || a == b || a.IsUnspecified() {
		t.Errorf("without: %v and %v", a, b)
	}
}
