// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestValidateTimes(t *testing.T) {
	for _, tt := range []struct {
		name            string
		hold, keepalive time.Duration
		want            string // "" where they are good
	}{
		{"defaults", 0, 0, ""},
		{"hold time alone", 3 * time.Second, 0, ""},
		{"keepalive alone", 0, 89 * time.Second, ""},
		{"keepalive of the default hold time", 0, 90 * time.Second, "keepalive 1m30s: must be shorter than the hold time 1m30s"},
		{"keepalive of the hold time", 9 * time.Second, 9 * time.Second, "keepalive 9s: must be shorter than the hold time 9s"},
		{"the same when rounded up", 3 * time.Second, 2500 * time.Millisecond, "keepalive 2.5s: must be shorter than the hold time 3s"},
		{"hold time too short", 2 * time.Second, time.Second, "hold time 2s: must be at least 3s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			p := Peer{Name: "p", Address: netip.MustParseAddr("192.0.2.1"), ASN: 1, LocalASN: 2, HoldTime: tt.hold, Keepalive: tt.keepalive}
			if err := p.validate(); err != nil {
				got = err.Error()
			}
			if (got == "") != (tt.want == "") || !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
