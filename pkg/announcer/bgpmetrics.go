// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"time"

	"k8s.io/component-base/metrics"

	"github.com/fairlead-io/fairlead/pkg/bgp"
)

// bgpTotals hands the state of the BGP sessions to whoever gathers metrics.
type bgpTotals struct {
	metrics.BaseStableCollector
	sessions func() []bgp.Session

	up, prefixes, flaps, age, bfd, state, uptime, failure *metrics.Desc
}

func newBGPTotals(sessions func() []bgp.Session) *bgpTotals {
	desc := func(name, help string, labels ...string) *metrics.Desc {
		labels = append([]string{"peer"}, labels...)
		return metrics.NewDesc(metricsNamespace+"_"+metricsSubsystem+"_bgp_"+name, help, labels, nil, metrics.ALPHA, "")
	}
	return &bgpTotals{
		sessions: sessions,
		up:       desc("session_up", "1 while the session with a BGPPeer is established, else 0."),
		prefixes: desc("prefixes", "Prefixes announced to a BGPPeer."),
		flaps:    desc("session_flaps_total", "Times that the session with a BGPPeer was lost or reset."),
		age:      desc("session_state_seconds", "Time since the session with a BGPPeer last changed its state."),
		bfd:      desc("bfd_up", "1 while BFD with a BGPPeer is up, else 0; only for peers with BFD."),
		state:    desc("session_state", "1 for the state, as RFC 4271 names it, that the session with a BGPPeer is in.", "state"),
		uptime:   desc("session_uptime_seconds", "Time for which the session with a BGPPeer has been established; 0 while it is not."),
		failure:  desc("session_error", "1 for the last error of a session with a BGPPeer that is not well, in words.", "error"),
	}
}

// DescribeWithStability implements metrics.StableCollector.
func (t *bgpTotals) DescribeWithStability(ch chan<- *metrics.Desc) {
	for _, d := range []*metrics.Desc{t.up, t.prefixes, t.flaps, t.age, t.bfd, t.state, t.uptime, t.failure} {
		ch <- d
	}
}

// CollectWithStability implements metrics.StableCollector.
func (t *bgpTotals) CollectWithStability(ch chan<- metrics.Metric) {
	for _, s := range t.sessions() {
		gauge := func(d *metrics.Desc, v float64, labels ...string) {
			ch <- metrics.NewLazyConstMetric(d, metrics.GaugeValue, v, append([]string{s.Peer}, labels...)...)
		}
		established := s.State == bgp.Established
		gauge(t.up, one(established))
		gauge(t.state, 1, string(s.State))
		gauge(t.prefixes, float64(s.Prefixes))
		age := 0.0
		if !s.Since.IsZero() {
			age = time.Since(s.Since).Seconds()
		}
		gauge(t.age, age)
		gauge(t.uptime, age*one(established))
		ch <- metrics.NewLazyConstMetric(t.flaps, metrics.CounterValue, float64(s.Flaps), s.Peer)
		if s.BFD != "" {
			gauge(t.bfd, one(s.BFD == "Up"))
		}
		if s.LastError != "" {
			gauge(t.failure, 1, s.LastError)
		}
	}
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
