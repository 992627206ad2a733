// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"fmt"
	"net/netip"
	"testing"
)

// TestLastResort has two addresses of one aggregate, and one of its own.
func TestLastResort(t *testing.T) {
	aggregate, own := netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("10.0.1.9/32")
	routes := []Route{{Prefix: aggregate, Leaving: true}, {Prefix: aggregate}, {Prefix: own, Leaving: true}}
	for _, tt := range []struct {
		name      string
		all       bool
		aggregate string
	}{
		{"single routes leave", false, "[] <nil>"},
		{"all leave", true, "[65535:0] 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClasses()
			of := c.classify(lastResort(routes, tt.all))
			for prefix, want := range map[netip.Prefix]string{aggregate: tt.aggregate, own: "[65535:0] 0"} {
				a, _ := c.told(of[prefix], "tor-a")
				got := fmt.Sprint(a.Communities, " <nil>")
				if a.LocalPreference != nil {
					got = fmt.Sprint(a.Communities, " ", *a.LocalPreference)
				}
				if got != want {
					t.Errorf("%s is announced with %s, want %s", prefix, got, want)
				}
			}
		})
	}
	if len(routes[0].Communities) > 0 {
		t.Error("the caller's routes are changed")
	}
}
