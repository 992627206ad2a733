// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/l2"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

func testLink(name, prefix string, up bool) l2.Link {
	return l2.Link{
		Name: name, MAC: l2.MAC{2, 0, 0, 0, 0, 1}, Kind: "device", Up: up,
		Addresses: []netip.Prefix{netip.MustParsePrefix(prefix)},
	}
}

// decideCase is one change to a node that is fit for an address, and what is decided then.
type decideCase struct {
	name   string
	change func(n *nodeView, a *addressView)
	want   decision
}

func TestDecideWhoIsACandidate(t *testing.T) {
	selector := func(zone string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"zone": zone}}
	}
	checkDecisions(t, []decideCase{
		{
			"fit", func(*nodeView, *addressView) {},
			decision{configured: true, candidate: true, probe: true, gateKnown: true},
		},
		{
			"announced by BGP only", func(_ *nodeView, a *addressView) {
				a.spec.Announce = []v1alpha1.Announcement{{BGP: &v1alpha1.BGPAnnouncement{}}}
			},
			decision{candidate: true},
		},
		{
			"not a candidate", func(_ *nodeView, a *addressView) { a.spec.Candidates = []string{"n2"} },
			decision{configured: true},
		},
		{
			"another takes over from a node that is not selected any more", func(_ *nodeView, a *addressView) {
				a.spec.Candidates, a.spec.Announce[0].L2.NodeSelector = []string{"n2"}, selector("b")
			},
			decision{configured: true},
		},
		{
			"no node is selected any more", func(_ *nodeView, a *addressView) {
				a.spec.Candidates, a.spec.Announce[0].L2.NodeSelector = nil, selector("b")
			},
			decision{
				configured: true, gateKnown: true, gate: ownership.GateClosed,
				reason: "no l2 nodeSelector of the address matches this node",
			},
		},
		{
			"no candidates, and the node is selected", func(_ *nodeView, a *addressView) { a.spec.Candidates = nil },
			decision{configured: true},
		},
		{
			"kept for a Service that is gone", func(_ *nodeView, a *addressView) { a.spec.Candidates, a.spec.Services = nil, nil },
			decision{configured: true, gateKnown: true, gate: ownership.GateClosed, reason: "no Service uses the address"},
		},
		{
			"probing turned off", func(_ *nodeView, a *addressView) { a.spec.Announce[0].L2.Probe = new(false) },
			decision{configured: true, candidate: true, gateKnown: true},
		},
		{
			"node not selected", func(_ *nodeView, a *addressView) { a.spec.Announce[0].L2.NodeSelector = selector("b") },
			decision{
				configured: true, candidate: true, gateKnown: true, gate: ownership.GateClosed,
				reason: "no l2 nodeSelector of the address matches this node",
			},
		},
		{"node selected by the second entry", func(_ *nodeView, a *addressView) {
			a.spec.Announce[0].L2.NodeSelector = selector("b")
			a.spec.Announce = append(a.spec.Announce, v1alpha1.Announcement{L2: &v1alpha1.L2Announcement{NodeSelector: selector("a")}})
		}, decision{configured: true, candidate: true, probe: true, gateKnown: true}},
		{"node not read yet", func(n *nodeView, a *addressView) {
			n.labels, a.spec.Announce[0].L2.NodeSelector = nil, selector("a")
		}, decision{
			configured: true, candidate: true, gateKnown: true, gate: ownership.GateClosed,
			reason: "no l2 nodeSelector of the address matches this node",
		}},
	})
}

func TestDecideWhoIsFit(t *testing.T) {
	checkDecisions(t, []decideCase{
		{
			"link down", func(n *nodeView, _ *addressView) { n.links = []l2.Link{testLink("eth0", "10.0.0.11/24", false)} },
			decision{
				configured: true, candidate: true, probe: true, gateKnown: true, gate: ownership.GateClosed,
				reason: "no interface of this node that is up has a subnet with the address, or the default route",
			},
		},
		{
			"named link missing", func(_ *nodeView, a *addressView) { a.spec.Announce[0].L2.Interfaces = []string{"bond*"} },
			decision{
				configured: true, candidate: true, probe: true, gateKnown: true, gate: ownership.GateClosed,
				interfaces: []string{"bond*"}, reason: "no interface of this node that is up matches bond*",
			},
		},
		{"only the default route", func(n *nodeView, _ *addressView) {
			n.links = []l2.Link{testLink("eth0", "192.0.2.1/24", true)}
			n.links[0].DefaultRoute4 = true
		}, decision{configured: true, candidate: true, probe: true, gateKnown: true, fallback: true}},
		{
			"kube-proxy dead", func(n *nodeView, _ *addressView) { n.kubeProxyDead = true },
			decision{
				configured: true, candidate: true, probe: true, gateKnown: true, gate: ownership.GateUnhealthy,
				reason: "kube-proxy of this node does not answer its health check",
			},
		},
		{
			"gateway lost", func(n *nodeView, _ *addressView) { n.gatewayLost = true },
			decision{
				configured: true, candidate: true, probe: true, gateKnown: true, gate: ownership.GateUnhealthy,
				reason: "the gateway does not answer this node any more", patience: 3 * time.Second,
			},
		},
		{
			"gateway lost, and failing in other ways", func(n *nodeView, a *addressView) {
				n.gatewayLost, a.health.failure = true, "no answer"
			},
			decision{
				configured: true, candidate: true, probe: true, gateKnown: true, gate: ownership.GateUnhealthy,
				reason: "the gateway does not answer this node any more",
			},
		},
		{
			"not programmed", func(_ *nodeView, a *addressView) { a.programming = notProgrammed },
			decision{
				configured: true, candidate: true, probe: true, gateKnown: true, gate: ownership.GateUnhealthy,
				reason: "kube-proxy of this node has not programmed the address",
			},
		},
		{
			"no endpoint here", func(_ *nodeView, a *addressView) { a.programming = withoutEndpoint },
			decision{
				configured: true, candidate: true, probe: true, gateKnown: true, gate: ownership.GateUnhealthy,
				reason: "kube-proxy of this node knows no ready endpoint here, and externalTrafficPolicy is Local",
			},
		},
		{
			"not looked yet", func(_ *nodeView, a *addressView) { a.programming = programmingUnknown },
			decision{configured: true, candidate: true, probe: true},
		},
		{
			"a fresh address is claimed before looking", func(_ *nodeView, a *addressView) { a.fresh, a.programming = true, programmingUnknown },
			decision{configured: true, candidate: true, probe: true, gateKnown: true},
		},
		{
			"link down is known before looking", func(n *nodeView, a *addressView) { n.links, a.programming = nil, programmingUnknown },
			decision{
				configured: true, candidate: true, probe: true, gateKnown: true, gate: ownership.GateClosed,
				reason: "no interface of this node that is up has a subnet with the address, or the default route",
			},
		},
	})
}

func TestDecideByHealthAndAccess(t *testing.T) {
	down := condition{probed: true, checked: true, service: "shop/web", failure: "down"}
	routed := func(n *nodeView, a *addressView) {
		n.routers = []string{"tor-a"}
		a.spec.Announce = append(a.spec.Announce, v1alpha1.Announcement{BGP: &v1alpha1.BGPAnnouncement{Peers: []string{"tor-a", "tor-b"}}})
		a.spec.Services = []v1alpha1.ServiceClaim{{HealthCheck: &v1alpha1.HealthCheck{Type: v1alpha1.HealthCheckTCP}}}
	}
	fit := decision{configured: true, candidate: true, probe: true, gateKnown: true}
	failing := fit
	failing.gate, failing.reason, failing.unhealthy = ownership.GateUnhealthy, "down", true
	shut := fit
	shut.gate, shut.reason = ownership.GateClosed, "no rules"
	routing := func(d decision, r ownership.Route) decision { d.route = r; return d }
	checkDecisions(t, []decideCase{
		{"health check fails", func(_ *nodeView, a *addressView) { a.health = down }, failing},
		{"no verdict yet", func(_ *nodeView, a *addressView) { a.health = condition{probed: true} }, fit},
		{"rules not in place", func(_ *nodeView, a *addressView) { a.refusing, a.unruled, a.health = false, "no rules", down }, shut},
		{"routed, no verdict yet", func(n *nodeView, a *addressView) { routed(n, a); a.health.probed = true }, fit},
		{"routed and passing", func(n *nodeView, a *addressView) {
			routed(n, a)
			a.health = condition{probed: true, checked: true}
		}, routing(fit, ownership.RouteHealthy)},
		{"routed and failing", func(n *nodeView, a *addressView) { routed(n, a); a.health = down }, routing(failing, ownership.RouteFailing)},
		{"no session with those who are to be told", func(n *nodeView, a *addressView) {
			routed(n, a)
			n.routers, a.health = []string{"tor-c"}, down
		}, failing},
		{"routed without rules", func(n *nodeView, a *addressView) {
			routed(n, a)
			a.refusing, a.unruled, a.health = false, "no rules", down
		}, shut},
	})
}

func checkDecisions(t *testing.T, cases []decideCase) {
	t.Helper()
	ready := nodeView{name: "n1", labels: map[string]string{"zone": "a"}, links: []l2.Link{testLink("eth0", "10.0.0.11/24", true)}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			node := ready
			addr := addressView{programming: programmed, refusing: true, spec: &v1alpha1.VirtualIPSpec{
				Address: "10.0.0.100", Candidates: []string{"n2", "n1"}, Announce: []v1alpha1.Announcement{{L2: &v1alpha1.L2Announcement{}}},
				Services: []v1alpha1.ServiceClaim{{Namespace: "shop", Name: "web"}},
			}}
			tc.change(&node, &addr)
			got := decide(node, addr)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(decision{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}
