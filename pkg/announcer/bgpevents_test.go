// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/testutil"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/bgp"
)

// sessionStep is what is seen of tor-a's session so many milliseconds after the start, and the events that follow.
type sessionStep struct {
	at    int
	state bgp.State
	why   string
	bfd   bool // the session was lost by BFD
	want  string
}

// trySessions goes through the steps. A state counts from the step on that first has it.
func trySessions(t *testing.T, steps []sessionStep) {
	t.Helper()
	n, began := newSessionNews("n1"), time.Now()
	s := bgp.Session{Peer: "tor-a", Address: netip.MustParseAddr("192.0.2.1")}
	for i, step := range steps {
		now := began.Add(time.Duration(step.at) * time.Millisecond)
		var all []bgp.Session
		if step.state != "" {
			if s.State != step.state {
				s.Since = now
			}
			s.State, s.LastError, s.LostByBFD = step.state, step.why, step.bfd
			all = append(all, s)
		}
		var got []string
		for _, e := range n.take(all, now) {
			got = append(got, e.kind+" "+e.reason+": "+e.text)
		}
		if text := strings.Join(got, "\n"); text != step.want {
			t.Errorf("step %d: the events are %q, want %q", i, text, step.want)
		}
	}
}

const (
	newsUp     = "Normal SessionEstablished: session of node n1 with 192.0.2.1 is established"
	newsLost   = "Warning SessionLost: session of node n1 with 192.0.2.1 is lost"
	newsFailed = "Warning SessionFailed: session of node n1 with 192.0.2.1: "
)

func TestSessionNews(t *testing.T) {
	trySessions(t, []sessionStep{
		{0, bgp.Idle, "", false, ""},
		{10, bgp.Active, "connection refused", false, newsFailed + "connection refused"},
		{20, bgp.Connect, "connection refused", false, ""},
		{30, bgp.Active, "timeout", false, newsFailed + "timeout"},
		{40, bgp.Active, "connection refused", false, ""},
		{50, bgp.Established, "", false, ""},
		{3000, bgp.Established, "", false, newsUp},
		{6000, bgp.Established, "", false, ""},
		{6010, bgp.Established, "bfd is Down", false, newsFailed + "bfd is Down"},
		{7000, bgp.Idle, "cease", true, newsLost + ": cease"},
		{7010, bgp.Active, "cease", false, ""},
		{7020, bgp.Active, "connection refused", false, newsFailed + "connection refused"},
		{8000, "", "", false, ""}, // no such peer any more
		{9000, bgp.Established, "", false, ""},
		{12000, bgp.Established, "", false, newsUp},
	})
}

func TestSessionThatDoesNotSettle(t *testing.T) {
	t.Run("by BFD, which is forgiven for a while", func(t *testing.T) {
		trySessions(t, []sessionStep{
			{0, bgp.Established, "", false, ""},
			{200, bgp.Idle, "BFD went down", true, ""},
			{210, bgp.Active, "BFD went down", true, ""},
			{7000, bgp.Established, "", false, ""},
			{7050, bgp.Idle, "BFD went down", true, ""},
			{12000, bgp.Established, "", false, ""},
			{15000, bgp.Established, "", false, newsUp},
			{16000, bgp.Idle, "BFD went down", true, newsLost + ": BFD went down"},
			{18000, bgp.Established, "", false, ""},
			{18200, bgp.Idle, "BFD went down", true, ""},
			{18300, bgp.Idle, "connection refused", true, newsFailed + "connection refused"},
		})
	})
	t.Run("by BFD, again and again", func(t *testing.T) {
		trySessions(t, []sessionStep{
			{0, bgp.Established, "", false, ""},
			{200, bgp.Idle, "BFD went down", true, ""},
			{29000, bgp.Established, "", false, ""},
			{30100, bgp.Idle, "BFD went down", true, ""},
			{31000, bgp.Established, "", false, ""},
			{31100, bgp.Idle, "BFD went down", true, newsLost + ": BFD went down"},
		})
	})
	t.Run("by BFD, once it has", func(t *testing.T) {
		trySessions(t, []sessionStep{
			{0, bgp.Established, "", false, ""},
			{1900, bgp.Established, "", false, ""},
			{2100, bgp.Idle, "BFD went down", true, newsLost + ": BFD went down"},
		})
	})
	t.Run("for another reason", func(t *testing.T) {
		trySessions(t, []sessionStep{
			{0, bgp.Established, "", false, ""},
			{200, bgp.Idle, "maximum number of prefixes reached", false, newsLost + ": maximum number of prefixes reached"},
		})
	})
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
	if g.ready(now, true) || g.open(good) {
		t.Error("addresses that nobody has looked at are announced")
	}
	checker.checkDue(t.Context())
	if g.ready(now, true) || !g.open(good) || g.open(bad) {
		t.Errorf("after one look: ready %v, open %v and %v; want to wait for a verdict on the second", g.ready(now, true), g.open(good), g.open(bad))
	}
	now = now.Add(2 * programmingGrace)
	checker.checkDue(t.Context())
	if !g.ready(now, true) || !g.open(good) || g.open(bad) {
		t.Errorf("after the verdicts: ready %v, open %v and %v", g.ready(now, true), g.open(good), g.open(bad))
	}
	g.watch(vips[1:])
	if g.open(good) {
		t.Error("an address that is not announced any more is still looked at")
	}
	patient := newBGPGate(newProgramChecker(nil, nil))
	patient.watch(vips)
	if patient.ready(now, true) || !patient.ready(now.Add(2*gatePatience), true) {
		t.Error("want to wait for the first looks, but not for ever")
	}
	if none := newBGPGate(nil); none.ready(now, false) || !none.ready(now, true) || !none.ready(now, false) || !none.open(bad) {
		t.Error("without kube-proxy, want to wait once for what else there is to know")
	}
}
