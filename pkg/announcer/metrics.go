// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"k8s.io/component-base/metrics"
)

const metricsNamespace, metricsSubsystem = "fairlead", "announcer"

// agentMetrics are what the agent itself counts; what gossip and layer 2 count is read from them (collector.go).
type agentMetrics struct {
	registry metrics.KubeRegistry

	owned, members, voters, quorate *metrics.Gauge
	takeovers, withdrawals          *metrics.CounterVec
	statusWrites                    *metrics.CounterVec
	conflicts                       *metrics.CounterVec
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
	m := &agentMetrics{
		registry: metrics.NewKubeRegistry(),
		owned:    gauge("owned_addresses", "Addresses that this node announces on layer 2."),
		members:  gauge("members", "Agents that this node sees alive, itself included."),
		voters:   gauge("voters", "Agents that count for a majority."),
		quorate:  gauge("quorate", "1 while this node is on the side that may announce, else 0."),
		takeovers: metrics.NewCounterVec(opts("takeovers_total",
			"Addresses that this node began to announce, by cause: initial, takeover, handover."), []string{"cause"}),
		withdrawals: metrics.NewCounterVec(opts("withdrawals_total",
			"Addresses that this node stopped announcing, by cause."), []string{"cause"}),
		statusWrites: metrics.NewCounterVec(opts("status_writes_total",
			"Writes of VirtualIP.status, by result: ok, error."), []string{"result"}),
		conflicts: metrics.NewCounterVec(opts("conflicts_total",
			"Other stations found to use an address, by phase: probing (before the first announcement), announcing."), []string{"phase"}),
		gossipMalformed: metrics.NewCounter(opts("gossip_malformed_total", "Gossip payloads that could not be understood.")),
		sendsDropped:    metrics.NewCounter(opts("gossip_sends_dropped_total", "Messages to one member that were not sent.")),
		eventsDropped:   metrics.NewCounter(opts("events_dropped_total", "Kubernetes events not written because there were too many.")),
	}
	m.registry.MustRegister(m.owned, m.members, m.voters, m.quorate, m.takeovers, m.withdrawals, m.statusWrites,
		m.conflicts, m.gossipMalformed, m.sendsDropped, m.eventsDropped)
	return m
}
