// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"strings"

	"k8s.io/client-go/transport"
	"k8s.io/client-go/util/flowcontrol"
)

// The service controller sends two events for each Service. When hundreds of Services are made at once, these would cost
// the API server as much as the addresses do; paced, they come later. A client holds at most a thousand that wait.
const (
	eventsPerSecond = 20
	eventBurst      = 50
)

// eventPace lets requests that write events wait for their turn; all others pass.
type eventPace struct {
	next  http.RoundTripper
	turns flowcontrol.RateLimiter
}

// paceEvents returns a wrapper for transports, all of which share one pace.
func paceEvents(perSecond float32, burst int) transport.WrapperFunc {
	turns := flowcontrol.NewTokenBucketRateLimiter(perSecond, burst)
	return func(next http.RoundTripper) http.RoundTripper { return &eventPace{next: next, turns: turns} }
}

// RoundTrip implements http.RoundTripper.
func (p *eventPace) RoundTrip(request *http.Request) (*http.Response, error) {
	if writesEvent(request) {
		if err := p.turns.Wait(request.Context()); err != nil {
			return nil, err
		}
	}
	return p.next.RoundTrip(request)
}

// WrappedRoundTripper lets client-go find the transport below.
func (p *eventPace) WrappedRoundTripper() http.RoundTripper { return p.next }

// writesEvent looks for the resource in the path, .../namespaces/NAMESPACE/RESOURCE...: any object may be called "events".
func writesEvent(request *http.Request) bool {
	_, namespaced, _ := strings.Cut(request.URL.Path, "/namespaces/")
	_, resource, _ := strings.Cut(namespaced, "/")
	return request.Method != http.MethodGet && strings.HasPrefix(resource+"/", "events/")
}
