// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
)

// server serves metrics and health.
type server struct {
	http    *http.Server
	metrics *agentMetrics
	done    sync.WaitGroup
}

// gatherers joins the agent's metrics with those of the process and of client-go.
type gatherers struct{ prometheus.Gatherers }

// listen opens the port at once, so that one in use is found at the start.
func listen(ctx context.Context, cfg Config, m *agentMetrics, h *liveness) (*server, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.MetricsAddress)
	if err != nil {
		return nil, fmt.Errorf("metrics bind address %q: %w", cfg.MetricsAddress, err)
	}
	s := &server{metrics: m, http: &http.Server{Handler: routes(cfg.Profiling, m, h), ReadHeaderTimeout: 5 * time.Second}}
	s.done.Go(func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			klog.FromContext(ctx).Error(err, "Metrics are served no more")
		}
	})
	return s, nil
}

func routes(profiling bool, m *agentMetrics, h *liveness) http.Handler {
	mux := http.NewServeMux()
	all := gatherers{prometheus.Gatherers{legacyregistry.DefaultGatherer, m.registry}}
	mux.Handle("/metrics", metrics.HandlerFor(all, metrics.HandlerOpts{}))
	mux.Handle("/healthz", answer(h.alive))
	mux.Handle("/readyz", answer(h.ready))
	if profiling {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

func answer(check func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := check(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
}

// watch adds what layer 2 and gossip count.
func (s *server) watch(p *parts) {
	s.metrics.registry.CustomMustRegister(newTotals(p.speaker.Stats, p.group.Stats), newBGPTotals(p.bgp.sessions),
		newRefusals(p.access.table.Refused))
}

func (s *server) close() {
	// Nothing that is being read is worth waiting for.
	_ = s.http.Close()
	s.done.Wait()
}
