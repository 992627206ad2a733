// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"encoding/json"
	"net/http"
)

// proxyHealth is the body of kube-proxy's health check. lastUpdated equals currentTime while no update waits for longer
// than kube-proxy allows itself; both are in the form of Go's time.Time.String.
type proxyHealth struct {
	LastUpdated  string `json:"lastUpdated"`
	CurrentTime  string `json:"currentTime"`
	NodeEligible *bool  `json:"nodeEligible"`
}

// healthy judges an answer of kube-proxy's health check.
func healthy(status int, body []byte) bool {
	if status == http.StatusOK {
		return true
	}
	var h proxyHealth
	if err := json.Unmarshal(body, &h); err != nil {
		return false
	}
	return h.NodeEligible != nil && !*h.NodeEligible && h.LastUpdated != "" && h.LastUpdated == h.CurrentTime
}
