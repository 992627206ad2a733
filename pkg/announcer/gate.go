// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

const (
	// healthzInterval between two looks at kube-proxy, and up to healthzJitter of it more.
	healthzInterval = 500 * time.Millisecond
	healthzJitter   = 0.5
	// healthzTimeout of one look.
	healthzTimeout = time.Second
	// healthzPatience without a good answer makes kube-proxy count as dead: a restart of it breaks no forwarding.
	healthzPatience = 3 * time.Second
	// healthzFailures in a row are needed besides: an agent that was paused has had no answer for long, and has not asked.
	// One that hangs has failed as often after 5.25 s.
	healthzFailures = 3
)

// gateKeeper knows whether kube-proxy on this node does its part.
type gateKeeper struct {
	url     string // of kube-proxy's health check; "" for none
	client  *http.Client
	changed func()
	dead    atomic.Bool
	checker *programChecker
	tasks   sync.WaitGroup
}

func newGateKeeper(url string, checker *programChecker, changed func()) *gateKeeper {
	// A connection of its own for each look: one that is kept open says nothing about the listener.
	transport := &http.Transport{DisableKeepAlives: true, Proxy: nil}
	return &gateKeeper{
		url: url, changed: changed, checker: checker,
		client: &http.Client{Transport: transport, Timeout: healthzTimeout},
	}
}

func (g *gateKeeper) kubeProxyDead() bool { return g.dead.Load() }

func (g *gateKeeper) state(addr netip.Addr) programming {
	if g.checker == nil {
		return programmed
	}
	return g.checker.state(addr)
}

// watch has the address checked from now on: soon, or once kube-proxy has mostly followed.
func (g *gateKeeper) watch(addr netip.Addr, vip *v1alpha1.VirtualIP, soon bool) {
	if g.checker != nil {
		g.checker.watch(addr, vip.Spec.Services, soon)
	}
}

// hurry has the addresses checked that have not been yet.
func (g *gateKeeper) hurry() {
	if g.checker != nil {
		g.checker.hurry()
	}
}

func (g *gateKeeper) forget(addr netip.Addr) {
	if g.checker != nil {
		g.checker.forget(addr)
	}
}

// run looks at kube-proxy until ctx is done.
func (g *gateKeeper) run(ctx context.Context) {
	if g.checker != nil {
		g.tasks.Go(func() { g.checker.run(ctx) })
		defer g.tasks.Wait()
	}
	if g.url == "" {
		<-ctx.Done()
		return
	}
	failures, good := 0, time.Now()
	wait.JitterUntilWithContext(ctx, func(ctx context.Context) {
		if failures++; g.ask(ctx) {
			failures, good = 0, time.Now()
		}
		if dead := failures >= healthzFailures && time.Since(good) >= healthzPatience; ctx.Err() == nil && g.dead.Swap(dead) != dead {
			klog.FromContext(ctx).Info("Health of kube-proxy changed", "alive", !dead, "url", g.url)
			g.changed()
		}
	}, healthzInterval, healthzJitter, true)
}

// ask tells whether kube-proxy answers that it is well. 503 while its node is being deleted is an answer that it keeps
// programming, and counts as well: draining is decided elsewhere.
func (g *gateKeeper) ask(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url, http.NoBody)
	if err != nil {
		return false
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	return err == nil && healthy(resp.StatusCode, body)
}
