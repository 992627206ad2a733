// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/membership"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

// routedAddress is one that n2 routes, and whose Service has a health check.
func routedAddress() *address {
	return &address{
		name: "a", addr: netip.MustParseAddr("10.0.0.100"),
		vip: &v1alpha1.VirtualIP{
			ObjectMeta: metav1.ObjectMeta{Name: "a"},
			Spec: v1alpha1.VirtualIPSpec{
				Announce: []v1alpha1.Announcement{{BGP: &v1alpha1.BGPAnnouncement{}}},
				Services: []v1alpha1.ServiceClaim{{Namespace: "shop", Name: "web", HealthCheck: &v1alpha1.HealthCheck{Type: v1alpha1.HealthCheckTCP}}},
			},
		},
		decision: decision{route: ownership.RouteHealthy},
	}
}

func TestWhoTellsOfTheHealthOfRoutes(t *testing.T) {
	const passes, except = "the health checks pass on the nodes that announce it by BGP", "the health checks pass on nodes that announce it by BGP; they fail on "
	fails := func(ad *address) {
		ad.decision.route, ad.health.failure = ownership.RouteFailing, "connection refused"
	}
	others := func(healthy, failing string) func(*address) {
		return func(ad *address) {
			ad.routes.Healthy, ad.routes.Failing = strings.Fields(healthy), strings.Fields(failing)
		}
	}
	told := func(ad *address) { ad.failing.told = true }
	for _, tc := range []struct {
		name    string
		changes []func(*address)
		want    routeHealth
	}{
		{"alone", nil, routeHealth{status: metav1.ConditionTrue, message: passes}},
		{"first by name", []func(*address){others("n3 n4", "")}, routeHealth{status: metav1.ConditionTrue, message: passes}},
		{"another is the first", []func(*address){others("n1 n3", "")}, routeHealth{}},
		{"the first fails, and tells", []func(*address){others("n3", "n1")}, routeHealth{}},
		{"others fail", []func(*address){others("n3", "n4 n5")}, routeHealth{status: metav1.ConditionTrue, message: except + "n4, n5"}},
		{"fails itself", []func(*address){fails, others("n3", "n4")}, routeHealth{status: metav1.ConditionTrue, message: except + "n2, n4"}},
		{"many fail", []func(*address){others("", "n31 n32 n33 n34 n35 n36 n37 n38 n39")}, routeHealth{
			status: metav1.ConditionTrue, message: except + "n31, n32, n33, n34, n35, n36, n37, n38, more",
		}},
		{"all fail, for a moment", []func(*address){fails, others("", "n3")}, routeHealth{}},
		{"all fail", []func(*address){fails, others("", "n3"), told}, routeHealth{
			status: metav1.ConditionFalse, message: "on every node that announces it by BGP; on n2: connection refused",
		}},
		{"has no part", []func(*address){func(ad *address) { ad.decision.route = ownership.RouteNone }}, routeHealth{}},
		{"on layer 2 too", []func(*address){func(ad *address) { ad.decision.configured = true }}, routeHealth{}},
		{"no health check", []func(*address){func(ad *address) { ad.vip.Spec.Services[0].HealthCheck = nil }}, routeHealth{}},
		{"no health check any more", []func(*address){func(ad *address) {
			ad.vip.Spec.Services[0].HealthCheck = nil
			ad.vip.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionHealthy}}
		}}, routeHealth{ended: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ad := routedAddress()
			for _, change := range tc.changes {
				change(ad)
			}
			if got := healthOfRoutes("n2", ad); got != tc.want {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func TestHealthOfRoutesInTheStatus(t *testing.T) {
	s := newVIPStore(map[string]v1alpha1.VirtualIPStatus{"a": {}})
	withWriter(t, s, func(w *vipWriter) {
		for _, h := range []routeHealth{
			{status: metav1.ConditionTrue, message: "passes"}, {status: metav1.ConditionFalse, message: "fails"}, {}, {ended: true},
		} {
			before := meta.FindStatusCondition(s.status().Conditions, v1alpha1.ConditionHealthy)
			w.say("a", vipFacts{routed: h}, 0)
			synctest.Wait()
			got := meta.FindStatusCondition(s.status().Conditions, v1alpha1.ConditionHealthy)
			switch {
			case h.ended && got != nil:
				t.Errorf("ended: condition %+v, want none", got)
			case h.status != "" && (got == nil || got.Status != h.status || got.Message != h.message):
				t.Errorf("told %+v: condition %+v", h, got)
			case h == routeHealth{} && (got == nil || *got != *before):
				t.Errorf("nothing new: condition %+v, was %+v", got, before)
			}
		}
		// Whoever owns it on layer 2 tells, and is not contradicted.
		s.set(func() { s.objects["a"].Status = v1alpha1.VirtualIPStatus{Node: "n9"} })
		w.say("a", vipFacts{routed: routeHealth{status: metav1.ConditionTrue}}, 0)
		synctest.Wait()
		if got := s.status(); len(got.Conditions) > 0 {
			t.Errorf("n9 announces the address, and n1 wrote %+v", got)
		}
	})
}

// mute is a group that hears nothing.
type mute struct{ group }

func (mute) Broadcast([]byte)             {}
func (mute) Members() []membership.Member { return nil }

// TestWhatOthersRouteIsForgottenWithTheOwnPart: a node that has no part in routing an address is not told who has. What it
// knew before must not keep its route from routers later, when nobody else serves the address any more.
func TestWhatOthersRouteIsForgottenWithTheOwnPart(t *testing.T) {
	ad := routedAddress()
	a := &agent{
		self: "n2", group: mute{}, now: time.Now, vips: map[string]*address{"a": ad}, byAddr: map[netip.Addr]*address{ad.addr: ad},
		machine: ownership.New(machineOptions(Config{NodeName: "n2", Quorum: ownership.QuorumNone}, time.Now())),
		routing: newRouteBoard(func() {}, func() {}), failing: map[netip.Addr]*address{},
	}
	a.status, a.sender = newVIPWriter("n2", nil, nil, newAgentMetrics()), newSender(nil, nil)
	defer a.status.queue.ShutDown()
	hear := func(seq uint64, route ownership.Route) {
		a.step(t.Context(), ownership.Heard{Message: ownership.Message{
			From: "n3", Incarnation: 1, Seq: seq, Entries: []ownership.Entry{{Address: ad.addr, Route: route}},
		}})
	}
	a.step(t.Context(), ownership.MembersChanged{Alive: []string{"n2", "n3"}, Voters: []string{"n2", "n3"}})
	a.tellRoute(t.Context(), ad, ownership.RouteHealthy)
	hear(1, ownership.RouteHealthy)
	if !slices.Equal(ad.routes.Healthy, []string{"n3"}) {
		t.Fatalf("n3 routes the address: %+v", ad.routes)
	}
	a.tellRoute(t.Context(), ad, ownership.RouteNone)
	hear(2, ownership.RouteNone)
	a.tellRoute(t.Context(), ad, ownership.RouteFailing)
	if len(ad.routes.Healthy) > 0 {
		t.Errorf("nobody else routes the address: %+v", ad.routes)
	}
}
