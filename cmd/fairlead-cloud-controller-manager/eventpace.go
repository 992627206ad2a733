// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/client-go/transport"
)

// The service controller sends two events for each Service. When hundreds of Services are made at once, these would cost
// the API server as much as the addresses do; paced, they come later. A client holds at most a thousand that wait.
const (
	// eventsPerSecond beyond the first eventBurst, while other things are written.
	eventsPerSecond = 10
	eventBurst      = 50
	// eventsAtRest per second, when nothing else has been written for a rest.
	eventsAtRest = 50
	rest         = time.Second
)

// turns are those of events, in all of the program's clients.
type turns struct {
	limit *rate.Limiter

	mu    sync.Mutex
	wrote time.Time // when something else was last written
}

// eventPace lets requests that write events wait for their turn; all others pass.
type eventPace struct {
	next  http.RoundTripper
	turns *turns
}

// paceEvents returns a wrapper for transports, all of which share one pace.
func paceEvents() transport.WrapperFunc {
	shared := &turns{limit: rate.NewLimiter(eventsPerSecond, eventBurst)}
	return func(next http.RoundTripper) http.RoundTripper { return &eventPace{next: next, turns: shared} }
}

// RoundTrip implements http.RoundTripper.
func (p *eventPace) RoundTrip(request *http.Request) (*http.Response, error) {
	switch {
	case writesEvent(request):
		if err := p.turns.take(request.Context()); err != nil {
			return nil, err
		}
	case request.Method != http.MethodGet && !strings.HasPrefix(request.URL.Path, "/apis/coordination.k8s.io/"):
		p.turns.note()
	}
	return p.next.RoundTrip(request)
}

// note keeps events waiting: something that matters more is being written.
func (t *turns) note() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wrote = time.Now()
}

// take waits for the next turn.
func (t *turns) take(ctx context.Context) error {
	t.mu.Lock()
	perSecond := rate.Limit(eventsPerSecond)
	if time.Since(t.wrote) >= rest {
		perSecond = eventsAtRest
	}
	t.limit.SetLimit(perSecond)
	t.mu.Unlock()
	return t.limit.Wait(ctx)
}

// WrappedRoundTripper lets client-go find the transport below.
func (p *eventPace) WrappedRoundTripper() http.RoundTripper { return p.next }

// writesEvent looks for the resource in the path, .../namespaces/NAMESPACE/RESOURCE...: any object may be called "events".
func writesEvent(request *http.Request) bool {
	_, namespaced, _ := strings.Cut(request.URL.Path, "/namespaces/")
	_, resource, _ := strings.Cut(namespaced, "/")
	return request.Method != http.MethodGet && strings.HasPrefix(resource+"/", "events/")
}
