// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"net/http"
	"testing"
)

func TestKubeProxyHealth(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		body   string
		want   bool
	}{
		{"well", http.StatusOK, `{"lastUpdated": "2026-03-04 05:06:07 +0000 UTC"}`, true},
		{
			"node being deleted, rules kept", http.StatusServiceUnavailable,
			`{"lastUpdated":"2026-03-04 05:06:07.1 +0000 UTC m=+9.1","currentTime":"2026-03-04 05:06:07.1 +0000 UTC m=+9.1","nodeEligible":false}`, true,
		},
		{
			"rules are late", http.StatusServiceUnavailable,
			`{"lastUpdated":"2026-03-04 05:06:07.1 +0000 UTC m=+9.1","currentTime":"2026-03-04 05:09:07.1 +0000 UTC m=+189.1","nodeEligible":true}`, false,
		},
		{"somebody else's port", http.StatusNotFound, "404 page not found", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := healthy(tc.status, []byte(tc.body)); got != tc.want {
				t.Errorf("healthy: %v", got)
			}
		})
	}
}
