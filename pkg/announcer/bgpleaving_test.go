// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/bgp"
)

// TestDepartures has two addresses, of which the second leaves a node that is cordoned.
func TestDepartures(t *testing.T) {
	plain, ruled := "10.0.0.8", "10.0.0.9"
	v := bgpView{
		self: "n1", forwarding: true, endpoints: notKnown, open: always,
		vips: []*v1alpha1.VirtualIP{
			bgpVIP(plain, v1alpha1.BGPAnnouncement{}, cluster()),
			withRules(bgpVIP(ruled, v1alpha1.BGPAnnouncement{}, cluster(), patient(30)), v1alpha1.NodeRules{LeaveOnCordon: true}),
			{Spec: v1alpha1.VirtualIPSpec{Address: "10.0.0.7"}}, // not by BGP
		},
	}
	d := departures{}
	var announced []bgp.Route
	var began time.Time
	for i, step := range []struct {
		node  nodeFacts
		after time.Duration
		want  map[string]bool // announced; true as the last resort
		pause time.Duration   // until the next withdrawal; 0 for none
	}{
		{nodeFacts{}, 0, map[string]bool{plain: false, ruled: false}, 0},
		{nodeFacts{cordoned: true}, time.Second, map[string]bool{plain: false, ruled: true}, 30 * time.Second},
		{nodeFacts{cordoned: true}, 30 * time.Second, map[string]bool{plain: false, ruled: true}, time.Second},
		{nodeFacts{cordoned: true}, 31*time.Second + time.Millisecond, map[string]bool{plain: false}, 0},
		{nodeFacts{cordoned: true, draining: true}, 40 * time.Second, map[string]bool{plain: true}, 10 * time.Second},
		{nodeFacts{cordoned: true, draining: true}, 51 * time.Second, map[string]bool{}, 0},
		{nodeFacts{draining: true}, 52 * time.Second, map[string]bool{}, 0},
		{nodeFacts{}, 53 * time.Second, map[string]bool{plain: false, ruled: false}, 0},
		{nodeFacts{cordoned: true}, 54 * time.Second, map[string]bool{plain: false, ruled: true}, 30 * time.Second},
	} {
		v.node = step.node
		v.leaving = d.follow(v, announced, began.Add(time.Hour+step.after))
		got, _ := desiredBGP(v)
		announced = got.Routes
		leaving := map[string]bool{}
		for _, r := range announced {
			leaving[r.Prefix.Addr().String()] = r.Leaving
		}
		if diff := cmp.Diff(step.want, leaving); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
		want := step.pause + time.Millisecond
		if step.pause == 0 {
			want = forgotten
		}
		if pause := untilWithdrawal(v); pause != want {
			t.Errorf("step %d: the next withdrawal comes after %v, want %v", i, pause, want)
		}
	}
}

// TestLeavingFromTheStart is a node that its agent finds leaving: the routers have nothing that they had to give up.
func TestLeavingFromTheStart(t *testing.T) {
	v := bgpView{
		self: "n1", node: nodeFacts{draining: true}, forwarding: true, endpoints: notKnown, open: always,
		vips: []*v1alpha1.VirtualIP{bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, cluster())},
	}
	elsewhere := []bgp.Route{{Prefix: netip.MustParsePrefix("10.0.0.8/32")}}
	v.leaving = departures{}.follow(v, elsewhere, time.Now())
	if d, _ := desiredBGP(v); len(d.Routes) > 0 {
		t.Errorf("announced to be given up: %v", d.Routes)
	}
}

// TestTheLastEndpointsStayAnnounced: a node that leaves goes on as the last resort while no other has endpoints, also when its
// agent has restarted, and gives the other its time once there is one.
func TestTheLastEndpointsStayAnnounced(t *testing.T) {
	elsewhere := true
	v := bgpView{
		self: "n1", node: nodeFacts{draining: true}, forwarding: true, endpoints: notKnown, open: always,
		vips: []*v1alpha1.VirtualIP{bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, local(30001))}, localReady: map[int32]bool{30001: true},
		elsewhere: func(v1alpha1.ServiceClaim, netip.Addr) bool { return elsewhere },
	}
	d, began := departures{}, time.Now()
	var announced []bgp.Route
	for i, step := range []struct {
		elsewhere bool
		after     time.Duration
		want      bool
	}{
		{true, 0, false}, // as far as is known at the start
		{false, time.Second, true},
		{false, time.Hour, true},
		{true, time.Hour + withdrawAfter, true},
		{true, time.Hour + withdrawAfter + time.Second, false},
		{false, 2 * time.Hour, true},
	} {
		elsewhere = step.elsewhere
		v.leaving = d.follow(v, announced, began.Add(step.after))
		got, _ := desiredBGP(v)
		if announced = got.Routes; (len(announced) == 1) != step.want || step.want && !announced[0].Leaving {
			t.Errorf("step %d: announced %v, want it as the last resort: %v", i, announced, step.want)
		}
	}
}

func TestRoutedBy(t *testing.T) {
	for _, tt := range []struct {
		name  string
		node  nodeView
		rules v1alpha1.NodeRules
		want  bool
	}{
		{"a router that is named", nodeView{routers: []string{"gateway", "tor-a"}}, v1alpha1.NodeRules{}, true},
		{"another router", nodeView{routers: []string{"tor-b"}}, v1alpha1.NodeRules{}, false},
		{"cordoned", nodeView{routers: []string{"tor-a"}, cordoned: true}, v1alpha1.NodeRules{}, true},
		{"cordoned, which is a sign", nodeView{routers: []string{"tor-a"}, cordoned: true}, v1alpha1.NodeRules{LeaveOnCordon: true}, false},
		{
			"excluded",
			nodeView{routers: []string{"tor-a"}, labels: labels.Set{corev1.LabelNodeExcludeBalancers: ""}},
			v1alpha1.NodeRules{},
			false,
		},
	} {
		vip := withRules(bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{Peers: []string{"tor-a"}}, cluster()), tt.rules)
		if got := routedBy(&vip.Spec, tt.node); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
