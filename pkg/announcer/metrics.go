// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"k8s.io/component-base/metrics"
)

const metricsNamespace, metricsSubsystem = "fairlead", "announcer"

// agentMetrics are what the agent itself counts; what gossip and layer 2 count is read from them (totals.go).
type agentMetrics struct {
	registry metrics.KubeRegistry
	*probeMetrics

	owned, members, voters, quorate *metrics.Gauge
	relayed                         *metrics.Gauge
	owner                           *metrics.GaugeVec
	takeovers, withdrawals          *metrics.CounterVec
	statusWrites                    *metrics.CounterVec
	conflicts                       *metrics.CounterVec
	detection, takeoverDelay        *metrics.Histogram
	gossipMalformed, sendsDropped   *metrics.Counter
	eventsDropped                   *metrics.Counter
}

func newAgentMetrics() *agentMetrics {
	gauge := func(name, help string) *metrics.Gauge {
		return metrics.NewGauge(&metrics.GaugeOpts{Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: name, Help: help, StabilityLevel: metrics.ALPHA})
	}
	opts := func(name, help string) *metrics.CounterOpts {
		return &metrics.CounterOpts{Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: name, Help: help, StabilityLevel: metrics.ALPHA}
	}
	histogram := func(name, help string) *metrics.Histogram {
		return metrics.NewHistogram(&metrics.HistogramOpts{
			Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: name, Help: help, StabilityLevel: metrics.ALPHA,
			Buckets: []float64{0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25, 0.35, 0.5, 1, 2.5, 5},
		})
	}
	m := &agentMetrics{
		registry: metrics.NewKubeRegistry(), probeMetrics: newProbeMetrics(),
		owned: gauge("owned_addresses", "Addresses that this node announces on layer 2."),
		owner: metrics.NewGaugeVec(&metrics.GaugeOpts{
			Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "owner", StabilityLevel: metrics.ALPHA,
			Help: "1 for each address that this node announces on layer 2; over all nodes, an address should have one.",
		}, []string{"address"}),
		members: gauge("members", "Agents that this node sees alive, itself included."),
		voters:  gauge("voters", "Agents that count for a majority."),
		relayed: gauge("relayed_addresses",
			"Addresses whose packets of unknown connections are handed on to the node that had them before."),
		quorate: gauge("quorate", "1 while this node is on the side that may announce, else 0."),
		takeovers: metrics.NewCounterVec(opts("takeovers_total",
			"Addresses that this node began to announce, by cause: initial, takeover, handover."), []string{"cause"}),
		withdrawals: metrics.NewCounterVec(opts("withdrawals_total",
			"Addresses that this node stopped announcing, by cause."), []string{"cause"}),
		statusWrites: metrics.NewCounterVec(opts("status_writes_total",
			"Writes of VirtualIP.status, by result: ok, error."), []string{"result"}),
		conflicts: metrics.NewCounterVec(opts("conflicts_total",
			"Other stations found to use an address, by phase: probing (before the first announcement), announcing, rival (a node of the cluster that gossip does not reach)."), []string{"phase"}),
		detection: histogram("detection_seconds",
			"For how long nothing had been heard of a member when the heartbeats' verdict on it came."),
		takeoverDelay: histogram("takeover_delay_seconds",
			"From the verdict on a member until this node answered for those of its addresses that it took over at once."),
		gossipMalformed: metrics.NewCounter(opts("gossip_malformed_total", "Gossip payloads that could not be understood.")),
		sendsDropped:    metrics.NewCounter(opts("gossip_sends_dropped_total", "Messages to one member that were not sent.")),
		eventsDropped:   metrics.NewCounter(opts("events_dropped_total", "Kubernetes events not written because there were too many.")),
	}
	m.registry.MustRegister(m.owned, m.owner, m.members, m.voters, m.quorate, m.relayed, m.takeovers, m.withdrawals, m.statusWrites,
		m.conflicts, m.detection, m.takeoverDelay, m.gossipMalformed, m.sendsDropped, m.eventsDropped,
		m.probes, m.verdicts, m.duration, m.late)
	return m
}
