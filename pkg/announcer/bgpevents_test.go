// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/testutil"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/bgp"
)

func TestSessionNews(t *testing.T) {
	at := netip.MustParseAddr("192.0.2.1")
	session := func(state bgp.State, why string) []bgp.Session {
		return []bgp.Session{{Peer: "tor-a", Address: at, State: state, LastError: why}}
	}
	n := newSessionNews("n1")
	for i, step := range []struct {
		sessions []bgp.Session
		want     []string
	}{
		{session(bgp.Idle, ""), nil},
		{session(bgp.Active, "connection refused"), []string{"SessionFailed: session of node n1 with 192.0.2.1: connection refused"}},
		{session(bgp.Connect, "connection refused"), nil},
		{session(bgp.Active, "timeout"), []string{"SessionFailed: session of node n1 with 192.0.2.1: timeout"}},
		{session(bgp.Active, "connection refused"), nil},
		{session(bgp.Established, ""), []string{"SessionEstablished: session of node n1 with 192.0.2.1 is established"}},
		{session(bgp.Established, ""), nil},
		{session(bgp.Idle, "cease"), []string{"SessionLost: session of node n1 with 192.0.2.1 is lost: cease"}},
		{session(bgp.Active, "cease"), nil},
		{session(bgp.Active, "connection refused"), []string{"SessionFailed: session of node n1 with 192.0.2.1: connection refused"}},
		{nil, nil},
		{session(bgp.Established, ""), []string{"SessionEstablished: session of node n1 with 192.0.2.1 is established"}},
	} {
		var got []string
		for _, e := range n.take(step.sessions) {
			got = append(got, e.reason+": "+e.text)
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestSessionMetrics(t *testing.T) {
	registry := metrics.NewKubeRegistry()
	registry.CustomMustRegister(newBGPTotals(func() []bgp.Session {
		return []bgp.Session{
			{Peer: "tor-a", State: bgp.Established, Since: time.Now().Add(-time.Hour), Prefixes: 7, Flaps: 2, BFD: "Up"},
			{Peer: "tor-b", State: bgp.Active, LastError: "connection refused"},
		}
	}))
	want := `
# HELP fairlead_announcer_bgp_prefixes [ALPHA] Prefixes announced to a BGPPeer.
# TYPE fairlead_announcer_bgp_prefixes gauge
fairlead_announcer_bgp_prefixes{peer="tor-a"} 7
fairlead_announcer_bgp_prefixes{peer="tor-b"} 0
# HELP fairlead_announcer_bgp_session_error [ALPHA] 1 for the last error of a session with a BGPPeer that is not well, in words.
# TYPE fairlead_announcer_bgp_session_error gauge
fairlead_announcer_bgp_session_error{error="connection refused",peer="tor-b"} 1
# HELP fairlead_announcer_bgp_session_state [ALPHA] 1 for the state, as RFC 4271 names it, that the session with a BGPPeer is in.
# TYPE fairlead_announcer_bgp_session_state gauge
fairlead_announcer_bgp_session_state{peer="tor-a",state="Established"} 1
fairlead_announcer_bgp_session_state{peer="tor-b",state="Active"} 1
# HELP fairlead_announcer_bgp_session_up [ALPHA] 1 while the session with a BGPPeer is established, else 0.
# TYPE fairlead_announcer_bgp_session_up gauge
fairlead_announcer_bgp_session_up{peer="tor-a"} 1
fairlead_announcer_bgp_session_up{peer="tor-b"} 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "fairlead_announcer_bgp_prefixes",
		"fairlead_announcer_bgp_session_error", "fairlead_announcer_bgp_session_state", "fairlead_announcer_bgp_session_up"); err != nil {
		t.Error(err)
	}
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range all {
		if family.GetName() == "fairlead_announcer_bgp_session_uptime_seconds" {
			if up, down := family.Metric[0].Gauge.GetValue(), family.Metric[1].Gauge.GetValue(); up < 3600 || down != 0 {
				t.Errorf("uptimes %v and %v, want an hour and 0", up, down)
			}
			return
		}
	}
	t.Error("no uptime")
}

func TestGateOfAddresses(t *testing.T) {
	forwarded := map[string]bool{"10.0.0.1": true}
	checker := newProgramChecker(func(_ context.Context, addr netip.Addr, _ portOf) (bool, error) {
		return forwarded[addr.String()], nil
	}, func([]netip.Addr) {})
	now := time.Now()
	checker.now = func() time.Time { return now }
	g := newBGPGate(checker)
	claim := cluster()
	claim.Ports = []v1alpha1.ServicePort{{Protocol: "TCP", Port: 80}}
	good, bad := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	vips := []*v1alpha1.VirtualIP{
		bgpVIP("10.0.0.1", v1alpha1.BGPAnnouncement{}, claim), bgpVIP("10.0.0.2", v1alpha1.BGPAnnouncement{}, claim),
	}
	g.watch(vips)
	if g.ready(now) || g.open(good) {
		t.Error("addresses that nobody has looked at are announced")
	}
	checker.checkDue(t.Context())
	if g.ready(now) || !g.open(good) || g.open(bad) {
		t.Errorf("after one look: ready %v, open %v and %v; want to wait for a verdict on the second", g.ready(now), g.open(good), g.open(bad))
	}
	now = now.Add(2 * programmingGrace)
	checker.checkDue(t.Context())
	if !g.ready(now) || !g.open(good) || g.open(bad) {
		t.Errorf("after the verdicts: ready %v, open %v and %v", g.ready(now), g.open(good), g.open(bad))
	}
	g.watch(vips[1:])
	if g.open(good) {
		t.Error("an address that is not announced any more is still looked at")
	}
	patient := newBGPGate(newProgramChecker(nil, nil))
	patient.watch(vips)
	if patient.ready(now) || !patient.ready(now.Add(2*gatePatience)) {
		t.Error("want to wait for the first looks, but not for ever")
	}
	if none := newBGPGate(nil); !none.ready(now) || !none.open(bad) {
		t.Error("without kube-proxy there is nothing to look at")
	}
}
