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

	up, prefixes, flaps, age, bfd *metrics.Desc
}

func newBGPTotals(sessions func() []bgp.Session) *bgpTotals {
	desc := func(name, help string) *metrics.Desc {
		return metrics.NewDesc(metricsNamespace+"_"+metricsSubsystem+"_bgp_"+name, help, []string{"peer"}, nil, metrics.ALPHA, "")
	}
	return &bgpTotals{
		sessions: sessions,
		up:       desc("session_up", "1 while the session with a BGPPeer is established, else 0."),
		prefixes: desc("prefixes", "Prefixes announced to a BGPPeer."),
		flaps:    desc("session_flaps_total", "Times that the session with a BGPPeer was lost or reset."),
		age:      desc("session_state_seconds", "Time since the session with a BGPPeer last changed its state."),
		bfd:      desc("bfd_up", "1 while BFD with a BGPPeer is up, else 0; only for peers with BFD."),
	}
}

// DescribeWithStability implements metrics.StableCollector.
func (t *bgpTotals) DescribeWithStability(ch chan<- *metrics.Desc) {
	for _, d := range []*metrics.Desc{t.up, t.prefixes, t.flaps, t.age, t.bfd} {
		ch <- d
	}
}

// CollectWithStability implements metrics.StableCollector.
func (t *bgpTotals) CollectWithStability(ch chan<- metrics.Metric) {
	for _, s := range t.sessions() {
		gauge := func(d *metrics.Desc, v float64) {
			ch <- metrics.NewLazyConstMetric(d, metrics.GaugeValue, v, s.Peer)
		}
		gauge(t.up, one(s.State == bgp.Established))
		gauge(t.prefixes, float64(s.Prefixes))
		gauge(t.age, time.Since(s.Since).Seconds())
		ch <- metrics.NewLazyConstMetric(t.flaps, metrics.CounterValue, float64(s.Flaps), s.Peer)
		if s.BFD != "" {
			gauge(t.bfd, one(s.BFD == "Up"))
		}
	}
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
