// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

func bgpVIP(addr string, announce v1alpha1.BGPAnnouncement, services ...v1alpha1.ServiceClaim) *v1alpha1.VirtualIP {
	return &v1alpha1.VirtualIP{ObjectMeta: metav1.ObjectMeta{Name: addr}, Spec: v1alpha1.VirtualIPSpec{
		Address: addr, Services: services, Announce: []v1alpha1.Announcement{{L2: &v1alpha1.L2Announcement{}}, {BGP: &announce}},
	}}
}

func cluster() v1alpha1.ServiceClaim {
	return v1alpha1.ServiceClaim{ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyCluster}
}

func local(port int32) v1alpha1.ServiceClaim {
	return v1alpha1.ServiceClaim{ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, HealthCheckNodePort: port}
}

func notKnown(v1alpha1.ServiceClaim, netip.Addr) (int, bool) { return 0, false }

func always(netip.Addr) bool { return true }

func patient(seconds int32) v1alpha1.ServiceClaim {
	return v1alpha1.ServiceClaim{ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyCluster, DrainTimeoutSeconds: &seconds}
}

func withRules(vip *v1alpha1.VirtualIP, rules v1alpha1.NodeRules) *v1alpha1.VirtualIP {
	vip.Spec.NodeRules = &rules
	return vip
}

type routeCase struct {
	name   string
	vip    *v1alpha1.VirtualIP
	change func(*bgpView)
	want   string // prefixes
}

func TestDesiredRoutes(t *testing.T) {
	twentyfour := int32(24)
	rack := func(name string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"rack": name}}
	}
	tryRoutes(t, []routeCase{
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
			name: "label says not excluded", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, cluster()), want: "10.0.0.9/32",
			change: func(v *bgpView) { v.node.labels[corev1.LabelNodeExcludeBalancers] = "false" },
		},
		{
			name: "node excluded, and that is ignored", want: "10.0.0.9/32",
			vip:    withRules(bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, cluster()), v1alpha1.NodeRules{IgnoreExcludeLabel: true}),
			change: func(v *bgpView) { v.node.labels[corev1.LabelNodeExcludeBalancers] = "" },
		},
		{
			name: "draining", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, cluster()), want: "10.0.0.9/32",
			change: func(v *bgpView) { v.leaving = map[string]time.Duration{"10.0.0.9": withdrawAfter / 2} },
		},
		{
			name: "drained long enough", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, cluster()),
			change: func(v *bgpView) { v.leaving = map[string]time.Duration{"10.0.0.9": 2 * withdrawAfter} },
		},
		{
			name: "drained, a Service is more patient", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, cluster(), patient(60)), want: "10.0.0.9/32",
			change: func(v *bgpView) { v.leaving = map[string]time.Duration{"10.0.0.9": 2 * withdrawAfter} },
		},
		{
			name: "drained, the Service is less patient", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, patient(1)),
			change: func(v *bgpView) { v.leaving = map[string]time.Duration{"10.0.0.9": withdrawAfter / 2} },
		},
	})
}

func TestDesiredRoutesOfWhatIsServed(t *testing.T) {
	tryRoutes(t, []routeCase{
		{
			name: "not programmed by kube-proxy", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, cluster()),
			change: func(v *bgpView) { v.open = func(a netip.Addr) bool { return a != netip.MustParseAddr("10.0.0.9") } },
		},
		{
			name: "another address not programmed", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, cluster()), want: "10.0.0.9/32",
			change: func(v *bgpView) { v.open = func(a netip.Addr) bool { return a != netip.MustParseAddr("10.0.0.8") } },
		},
		{
			name: "local, endpoints gone before kube-proxy says so", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, local(30001)),
			change: func(v *bgpView) { v.endpoints = func(v1alpha1.ServiceClaim, netip.Addr) (int, bool) { return 0, true } },
		},
		{
			name: "local, endpoints there before kube-proxy says so", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, local(30002)),
			change: func(v *bgpView) { v.endpoints = func(v1alpha1.ServiceClaim, netip.Addr) (int, bool) { return 3, true } },
		},
		{
			name: "a wrong community, which no schema lets through",
			vip:  bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{Communities: []v1alpha1.Community{"no-exprot"}}, cluster()),
		},
		{name: "local with endpoints", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, local(30001)), want: "10.0.0.9/32"},
		{name: "local without endpoints", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, local(30002))},
		{name: "local not asked yet", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, local(30003))},
		{name: "shared, one local without endpoints", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, cluster(), local(30002))},
		{name: "shared, all served", vip: bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, cluster(), local(30001)), want: "10.0.0.9/32"},
	})
}

func tryRoutes(t *testing.T, tests []routeCase) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := bgpView{
				self: "n1", node: nodeFacts{labels: labels.Set{"rack": "a"}}, addr: netip.MustParseAddr("192.0.2.1"), forwarding: true,
				vips: []*v1alpha1.VirtualIP{tt.vip}, localReady: map[int32]bool{30001: true, 30002: false},
				endpoints: notKnown, open: always,
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

// TestDesiredWhateverTheOrder has what informers return, which is in another order each time.
func TestDesiredWhateverTheOrder(t *testing.T) {
	peer := func(name string, created int64) *v1alpha1.BGPPeer {
		return &v1alpha1.BGPPeer{
			ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Unix(created, 0)},
			Spec:       v1alpha1.BGPPeerSpec{PeerAddress: "192.0.2.254", PeerASN: 64500, LocalASN: 64512},
		}
	}
	aggregate := func(addr string, med uint32) *v1alpha1.VirtualIP {
		return bgpVIP(addr, v1alpha1.BGPAnnouncement{AggregationLength: &v1alpha1.AggregationLength{IPv4: new(int32(24))}, MED: &med}, cluster())
	}
	v := bgpView{
		forwarding: true, endpoints: notKnown, open: always,
		peers: []*v1alpha1.BGPPeer{peer("a", 2), peer("c", 1), peer("b", 1)},
		vips:  []*v1alpha1.VirtualIP{aggregate("10.0.0.9", 9), aggregate("10.0.0.10", 10), aggregate("10.0.0.8", 8)},
	}
	for range 3 { // each of the three is the first once
		v.peers, v.vips = append(v.peers[1:], v.peers[0]), append(v.vips[1:], v.vips[0])
		d, _ := desiredBGP(v)
		got := ""
		for _, p := range d.Peers {
			got += p.Name + " "
		}
		for _, r := range d.Routes {
			got += fmt.Sprint(*r.MED, " ")
		}
		if want := "b c a 10 8 9 "; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestDesiredAttributes(t *testing.T) {
	pref, med := uint32(200), uint32(0)
	d, _ := desiredBGP(bgpView{forwarding: true, endpoints: notKnown, open: always, vips: []*v1alpha1.VirtualIP{bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{
		Peers: []string{"tor-a"}, Communities: []v1alpha1.Community{"64512:100", "no-export"}, LocalPreference: &pref, MED: &med,
		ASPathPrepend: 3, LinkBandwidthPerEndpoint: 10,
	}, cluster())}})
	r := d.Routes[0]
	if got := fmt.Sprint(r.Communities, r.Peers, *r.LocalPreference, *r.MED, r.Prepend, r.LinkBandwidth); got != "[64512:100 65535:65281] [tor-a] 200 0 3 0" {
		t.Errorf("got %s", got)
	}
}

func TestLinkBandwidth(t *testing.T) {
	for _, tt := range []struct {
		name     string
		per      int32
		services []v1alpha1.ServiceClaim
		known    bool
		want     uint32 // bytes per second
	}{
		{"by endpoints", 8, []v1alpha1.ServiceClaim{local(30001)}, true, 3_000_000},
		{"not asked for", 0, []v1alpha1.ServiceClaim{local(30001)}, true, 0},
		{"number not known", 8, []v1alpha1.ServiceClaim{local(30001)}, false, 0},
		{"two services", 8, []v1alpha1.ServiceClaim{local(30001), local(30001)}, true, 6_000_000},
		{"shared with a Service of another policy", 8, []v1alpha1.ServiceClaim{local(30001), cluster()}, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, _ := desiredBGP(bgpView{
				forwarding: true, open: always, localReady: map[int32]bool{30001: true},
				endpoints: func(v1alpha1.ServiceClaim, netip.Addr) (int, bool) { return map[bool]int{true: 3}[tt.known], tt.known },
				vips:      []*v1alpha1.VirtualIP{bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{LinkBandwidthPerEndpoint: tt.per}, tt.services...)},
			})
			if len(d.Routes) != 1 || d.Routes[0].LinkBandwidth != tt.want {
				t.Errorf("got %+v, want %d bytes per second", d.Routes, tt.want)
			}
		})
	}
	if got := linkBandwidth(100, 1000); got != math.MaxUint32 {
		t.Errorf("more than there is room for: %d", got)
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
