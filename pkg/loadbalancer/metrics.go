// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"errors"
	"time"

	"k8s.io/component-base/metrics"

	"github.com/fairlead-io/fairlead/pkg/ipam"
)

// allocationMetrics measures claims.
type allocationMetrics struct {
	duration *metrics.Histogram
	failures *metrics.CounterVec
}

func newAllocationMetrics() *allocationMetrics {
	return &allocationMetrics{
		duration: metrics.NewHistogram(&metrics.HistogramOpts{
			Namespace: "fairlead", Subsystem: "allocation", Name: "duration_seconds",
			Help:           "Time from the choice of an address until its VirtualIP exists.",
			Buckets:        metrics.ExponentialBuckets(0.001, 2, 14),
			StabilityLevel: metrics.ALPHA,
		}),
		failures: metrics.NewCounterVec(&metrics.CounterOpts{
			Namespace: "fairlead", Subsystem: "allocation", Name: "failures_total",
			Help:           "Addresses that a Service asked for and did not get, by reason.",
			StabilityLevel: metrics.ALPHA,
		}, []string{"reason"}),
	}
}

// Metrics returns the metrics of the Reconciler, for the process to register.
func (r *Reconciler) Metrics() []metrics.Registerable {
	return []metrics.Registerable{r.metrics.duration, r.metrics.failures}
}

func (m *allocationMetrics) claimed(took time.Duration) { m.duration.Observe(took.Seconds()) }

func (m *allocationMetrics) failed(err error) { m.failures.WithLabelValues(reason(err)).Inc() }

// reason returns the label of a failure.
func reason(err error) string {
	for _, known := range []struct {
		err   error
		label string
	}{
		{ipam.ErrPoolExhausted, "exhausted"},
		{ipam.ErrNamespaceLimit, "namespace_limit"},
		{ipam.ErrAddressInUse, "in_use"},
		{ipam.ErrAddressOutsidePools, "outside_pools"},
		{ipam.ErrNotAllowed, "not_allowed"},
		{ipam.ErrNoPool, "no_pool"},
		{ipam.ErrSharing, "sharing"},
	} {
		if errors.Is(err, known.err) {
			return known.label
		}
	}
	return "other"
}
