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

func TestOnlyWritesOfEventsArePaced(t *testing.T) {
	for _, test := range []struct {
		name, method, path string
		want               time.Duration
	}{
		{"an event is made", http.MethodPost, "/api/v1/namespaces/default/events", 10 * time.Second},
		{"an event is counted on", http.MethodPatch, "/api/v1/namespaces/default/events/web.17", 10 * time.Second},
		{"events are listed", http.MethodGet, "/api/v1/namespaces/default/events", 0},
		{"a status is written", http.MethodPatch, "/api/v1/namespaces/default/services/web/status", 0},
		{"an event of the new API is made", http.MethodPost, "/apis/events.k8s.io/v1/namespaces/default/events", 10 * time.Second},
		{"an event in a Namespace called events", http.MethodPost, "/api/v1/namespaces/events/events", 10 * time.Second},
		{"a Service is called events", http.MethodPatch, "/api/v1/namespaces/default/services/events/status", 0},
		{"a Service in a Namespace called events", http.MethodPatch, "/api/v1/namespaces/events/services/web/status", 0},
		{"a Namespace is called events", http.MethodPut, "/api/v1/namespaces/events", 0},
		{"a Node is called events", http.MethodPatch, "/api/v1/nodes/events/status", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				paced := paceEvents(1, 2)(answers{})
				request, err := http.NewRequestWithContext(t.Context(), test.method, "http://api"+test.path, nil)
				if err != nil {
					t.Fatal(err)
				}
				started := time.Now()
				for range 12 { // two at once, ten of them one a second
					if _, err := paced.RoundTrip(request); err != nil {
						t.Fatal(err)
					}
				}
				if took := time.Since(started).Round(time.Second); took != test.want {
					t.Errorf("12 requests took %s, want %s", took, test.want)
				}
			})
		})
	}
}
