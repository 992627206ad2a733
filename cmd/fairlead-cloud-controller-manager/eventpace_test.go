// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

type answers struct{}

func (answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK}, nil
}

func send(t *testing.T, paced http.RoundTripper, method, path string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://api"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := paced.RoundTrip(request); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyWritesOfEventsArePaced(t *testing.T) {
	const events = 10 * time.Second
	for _, test := range []struct {
		name, method, path string
		want               time.Duration
	}{
		{"an event is made", http.MethodPost, "/api/v1/namespaces/default/events", events},
		{"an event is counted on", http.MethodPatch, "/api/v1/namespaces/default/events/web.17", events},
		{"events are listed", http.MethodGet, "/api/v1/namespaces/default/events", 0},
		{"a status is written", http.MethodPatch, "/api/v1/namespaces/default/services/web/status", 0},
		{"an event of the new API is made", http.MethodPost, "/apis/events.k8s.io/v1/namespaces/default/events", events},
		{"an event in a Namespace called events", http.MethodPost, "/api/v1/namespaces/events/events", events},
		{"a Service is called events", http.MethodPatch, "/api/v1/namespaces/default/services/events/status", 0},
		{"a Service in a Namespace called events", http.MethodPatch, "/api/v1/namespaces/events/services/web/status", 0},
		{"a Namespace is called events", http.MethodPut, "/api/v1/namespaces/events", 0},
		{"a Node is called events", http.MethodPatch, "/api/v1/nodes/events/status", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				paced, started := paceEvents()(answers{}), time.Now()
				for range eventBurst + 10*eventsAtRest {
					send(t, paced, test.method, test.path)
				}
				if took := time.Since(started).Round(time.Second); took != test.want {
					t.Errorf("took %s, want %s", took, test.want)
				}
			})
		})
	}
}

func TestEventsGiveWay(t *testing.T) {
	for _, test := range []struct {
		name, method, path string
		want               time.Duration
	}{
		{"statuses are written", http.MethodPatch, "/api/v1/namespaces/default/services/web/status", 20 * time.Second},
		{"Services are read", http.MethodGet, "/api/v1/namespaces/default/services/web", 20 * time.Second * eventsPerSecond / eventsAtRest},
		{"the lease is renewed", http.MethodPut, "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/manager", 20 * time.Second * eventsPerSecond / eventsAtRest},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wrap := paceEvents()
				events, others := wrap(answers{}), wrap(answers{}) // of two clients
				started := time.Now()
				for range eventBurst + 20*eventsPerSecond {
					send(t, others, test.method, test.path)
					send(t, events, http.MethodPost, "/api/v1/namespaces/default/events")
				}
				if took := time.Since(started).Round(time.Second); took != test.want {
					t.Errorf("took %s, want %s", took, test.want)
				}
			})
		})
	}
}
