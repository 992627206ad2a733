// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"strings"
	"time"

	"k8s.io/component-base/metrics"

	"github.com/fairlead-io/fairlead/pkg/health"
)

// probeMetrics are what health checks count.
type probeMetrics struct {
	probes, verdicts *metrics.CounterVec
	duration         *metrics.HistogramVec
	late             *metrics.Histogram
}

func newProbeMetrics() *probeMetrics {
	counter := func(name, help string, labels ...string) *metrics.CounterVec {
		return metrics.NewCounterVec(&metrics.CounterOpts{
			Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: name, Help: help, StabilityLevel: metrics.ALPHA,
		}, labels)
	}
	opts := func(name, help string) *metrics.HistogramOpts {
		return &metrics.HistogramOpts{
			Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: name, Help: help, StabilityLevel: metrics.ALPHA,
			Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
		}
	}
	return &probeMetrics{
		probes:   counter("health_probes_total", "Probes of health checks, by type and result: passed, failed.", "type", "result"),
		verdicts: counter("health_verdicts_total", "Verdicts on a Service by way of this node, by what they became.", "state"),
		duration: metrics.NewHistogramVec(opts("health_probe_duration_seconds", "What probes took."), []string{"type"}),
		late:     metrics.NewHistogram(opts("health_probe_late_seconds", "How long after their time probes began: more than a little tells of an overloaded node.")),
	}
}

// probed takes note of one probe.
func (m *probeMetrics) probed(o health.Observation) {
	kind, result := strings.ToLower(string(o.Type)), "failed"
	if o.Passed {
		result = "passed"
	}
	m.probes.WithLabelValues(kind, result).Inc()
	m.duration.WithLabelValues(kind).Observe(o.Took.Seconds())
	m.late.Observe(o.Late.Seconds())
	if o.Changed {
		m.verdicts.WithLabelValues(o.State.String()).Inc()
	}
}

// refusals hands the kernel's counters of refused packets to whoever gathers metrics.
type refusals struct {
	metrics.BaseStableCollector
	read    func(ctx context.Context) (map[string]uint64, error)
	packets *metrics.Desc
}

// refusalsTimeout of reading them.
const refusalsTimeout = 2 * time.Second

func newRefusals(read func(ctx context.Context) (map[string]uint64, error)) *refusals {
	return &refusals{read: read, packets: metrics.NewDesc(metricsNamespace+"_"+metricsSubsystem+"_access_refused_packets_total",
		"Packets of clients that access control refused on this node.", []string{"address", "service"}, nil, metrics.ALPHA, "")}
}

// DescribeWithStability implements metrics.StableCollector.
func (r *refusals) DescribeWithStability(ch chan<- *metrics.Desc) { ch <- r.packets }

// CollectWithStability implements metrics.StableCollector. Counters that cannot be read are left out.
func (r *refusals) CollectWithStability(ch chan<- metrics.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), refusalsTimeout)
	defer cancel()
	all, err := r.read(ctx)
	if err != nil {
		return
	}
	for name, n := range all {
		address, service, _ := strings.Cut(name, " ")
		ch <- metrics.NewLazyConstMetric(r.packets, metrics.CounterValue, float64(n), address, service)
	}
}
