// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"k8s.io/component-base/metrics"

	"github.com/fairlead-io/fairlead/pkg/l2"
	"github.com/fairlead-io/fairlead/pkg/membership"
)

// totals hands the counters of layer 2 and of gossip to whoever gathers metrics.
type totals struct {
	metrics.BaseStableCollector
	layer2 func() l2.Stats
	gossip func() membership.Stats

	requests, replies, gratuitous, conflicts, defences, malformed, errors *metrics.Desc
	failures, recovered, heartbeats, payloads, dropped, stalls            *metrics.Desc
	unannounced, queued                                                   *metrics.Desc
}

func newTotals(layer2 func() l2.Stats, gossip func() membership.Stats) *totals {
	desc := func(name, help string, labels ...string) *metrics.Desc {
		return metrics.NewDesc(metricsNamespace+"_"+metricsSubsystem+"_"+name, help, labels, nil, metrics.ALPHA, "")
	}
	return &totals{
		layer2: layer2, gossip: gossip,
		requests:    desc("requests_total", "ARP requests and neighbour solicitations received.", "protocol"),
		replies:     desc("replies_total", "ARP requests and neighbour solicitations answered.", "protocol"),
		gratuitous:  desc("gratuitous_total", "Unasked announcements sent.", "protocol"),
		conflicts:   desc("foreign_claims_total", "Claims by strangers of addresses announced here.", "protocol"),
		defences:    desc("defences_total", "Claims by strangers that were answered.", "protocol"),
		malformed:   desc("malformed_frames_total", "Frames passed over as malformed.", "protocol"),
		errors:      desc("socket_errors_total", "Failures to send or receive.", "protocol", "direction"),
		unannounced: desc("unannounced", "Addresses, by interface, that wait for their first announcement."),
		failures:    desc("member_failures_total", "Members seen to fail, by who noticed: heartbeat, gossip.", "detector"),
		recovered:   desc("member_recoveries_total", "Verdicts of failure that were taken back."),
		heartbeats:  desc("heartbeats_total", "Heartbeat datagrams.", "direction"),
		payloads:    desc("gossip_payloads_total", "Payloads of gossip.", "direction"),
		dropped:     desc("gossip_payloads_dropped_total", "Payloads of gossip lost because the loop was too slow."),
		stalls:      desc("stalls_total", "Times that this node was itself too late to judge others."),
		queued:      desc("gossip_queue_length", "Payloads that wait to be gossiped."),
	}
}

// DescribeWithStability implements metrics.StableCollector.
func (t *totals) DescribeWithStability(ch chan<- *metrics.Desc) {
	for _, d := range []*metrics.Desc{
		t.requests, t.replies, t.gratuitous, t.conflicts, t.defences, t.malformed, t.errors, t.unannounced,
		t.failures, t.recovered, t.heartbeats, t.payloads, t.dropped, t.stalls, t.queued,
	} {
		ch <- d
	}
}

// CollectWithStability implements metrics.StableCollector.
func (t *totals) CollectWithStability(ch chan<- metrics.Metric) {
	count := func(d *metrics.Desc, v uint64, labels ...string) {
		ch <- metrics.NewLazyConstMetric(d, metrics.CounterValue, float64(v), labels...)
	}
	s := t.layer2()
	for protocol, f := range map[string]l2.FamilyStats{"arp": s.ARP, "ndp": s.NDP} {
		count(t.requests, f.Requests, protocol)
		count(t.replies, f.Replies, protocol)
		count(t.gratuitous, f.Gratuitous, protocol)
		count(t.conflicts, f.Conflicts, protocol)
		count(t.defences, f.Defences, protocol)
		count(t.malformed, f.Malformed, protocol)
		count(t.errors, f.SendErrors, protocol, "send")
		count(t.errors, f.ReceiveErrors, protocol, "receive")
	}
	ch <- metrics.NewLazyConstMetric(t.unannounced, metrics.GaugeValue, float64(s.Unannounced))
	g := t.gossip()
	count(t.failures, g.FailedByHeartbeat, "heartbeat")
	count(t.failures, g.FailedByGossip, "gossip")
	count(t.recovered, g.Recovered)
	count(t.heartbeats, g.HeartbeatsSent, "sent")
	count(t.heartbeats, g.HeartbeatsReceived, "received")
	count(t.payloads, g.PayloadsSent, "sent")
	count(t.payloads, g.PayloadsReceived, "received")
	count(t.dropped, g.PayloadsDropped)
	count(t.stalls, g.Stalls)
	ch <- metrics.NewLazyConstMetric(t.queued, metrics.GaugeValue, float64(g.GossipQueued))
}
