// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRestart(t *testing.T) {
	for _, tt := range []struct {
		name       string
		unnumbered bool
		keep       bool
		wantAbsent bool
	}{
		{"leaving without a word", false, true, false},
		{"cease", false, false, true},
		{"unnumbered", true, true, false}, // the peer is not known yet when the speaker begins
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRouter(t, "frr", 1)
			peer := frrPeer(r)
			if tt.unnumbered {
				peer = unnumberedFRR(r, "bgp graceful-restart")
			} else {
				r.frr(frrConfig(r, "bgp graceful-restart"))
			}
			peer.GracefulRestart = 30 * time.Second
			d := Desired{Peers: []Peer{peer}, Routes: []Route{{Prefix: prefix("10.99.0.1/32")}, {Prefix: prefix("fd99::1/128")}}}
			if absent := restarted(t, r, d, tt.keep); absent != tt.wantAbsent {
				t.Errorf("routes were absent: %v, want %v", absent, tt.wantAbsent)
			}
		})
	}
}

// restarted stops a speaker, starts another in its place, and tells whether the router was without a route meanwhile.
func restarted(t *testing.T, r *router, d Desired, keep bool) (absent bool) {
	t.Helper()
	first := newSpeaker(t)
	apply(t, first, d)
	established(t, first)
	r.has("10.99.0.1/32", true)
	r.has("fd99::1/128", true)
	r.daemon("ip", "monitor", "route") // sees what is too short to be asked for
	if err := first.Stop(t.Context(), keep); err != nil {
		t.Fatal(err)
	}
	look := func() {
		absent = absent || r.path("10.99.0.1/32") == nil || r.path("fd99::1/128") == nil
	}
	await(t, "the session gone", func() (bool, string) {
		look()
		out := r.vtysh("show bgp neighbors")
		return !strings.Contains(out, "BGP state = Established"), out
	})
	second := newSpeaker(t)
	apply(t, second, d)
	began := time.Now()
	await(t, "the session back", func() (bool, string) {
		look()
		x := session(second, "frr")
		return x.State == Established, fmt.Sprintf("%+v", x)
	})
	t.Logf("session back after %v", time.Since(began))
	await(t, "fresh routes", func() (bool, string) {
		look()
		p, p6 := r.path("10.99.0.1/32"), r.path("fd99::1/128")
		return p != nil && !p.Stale && p6 != nil && !p6.Stale, fmt.Sprintf("%+v %+v", p, p6)
	})
	look()
	changes, err := os.ReadFile(filepath.Join(r.dir, "ip.log"))
	if err != nil {
		t.Fatal(err)
	}
	return absent || strings.Contains(string(changes), "Deleted 10.99.0.1") || strings.Contains(string(changes), "Deleted fd99::1")
}
