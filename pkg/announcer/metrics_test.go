// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/fairlead-io/fairlead/pkg/bgp"
	"github.com/fairlead-io/fairlead/pkg/health"
	"github.com/fairlead-io/fairlead/pkg/l2"
	"github.com/fairlead-io/fairlead/pkg/membership"
)

// TestMetricsOfTheDocumentAreExported gathers all metrics of an announcer, each counted once, and misses none that the
// document explains.
func TestMetricsOfTheDocumentAreExported(t *testing.T) {
	m := newAgentMetrics()
	m.owner.WithLabelValues("10.0.0.100").Set(1)
	m.takeovers.WithLabelValues("takeover").Inc()
	m.withdrawals.WithLabelValues("minority").Inc()
	m.statusWrites.WithLabelValues("ok").Inc()
	m.conflicts.WithLabelValues("probing").Inc()
	m.probed(health.Observation{Changed: true})
	session := bgp.Session{Peer: "tor-a", State: bgp.Idle, Since: time.Now(), BFD: "Down", LastError: "connection refused"}
	m.registry.CustomMustRegister(
		newTotals(func() l2.Stats { return l2.Stats{} }, func() membership.Stats { return membership.Stats{} }),
		newBGPTotals(func() []bgp.Session { return []bgp.Session{session} }),
		newRefusals(func(context.Context) (map[string]uint64, error) {
			return map[string]uint64{"10.0.0.100 default/web": 1}, nil
		}),
	)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exported := map[string]bool{}
	for _, f := range families {
		exported[f.GetName()] = true
	}
	document, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`fairlead_announcer_[a-z_]+`).FindAllString(string(document), -1)
	if len(names) < 40 {
		t.Fatalf("the document has %d names of metrics: the test does not know it any more", len(names))
	}
	for _, name := range names {
		if !exported[name] {
			t.Errorf("docs/monitoring.md explains %s, which is not exported", name)
		}
	}
}
