// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"strings"
	"testing"
)

func TestSpecialAddresses(t *testing.T) {
	for _, tc := range []struct{ text, part, what string }{
		{"10.0.0.0/8", "", ""},
		{"223.255.255.0-223.255.255.255", "", ""},
		{"223.255.255.0-224.0.0.5", "224.0.0.0-224.0.0.5", "multicast"},
		{"239.1.2.3", "239.1.2.3", "multicast"},
		{"127.0.0.53", "127.0.0.53", "loopback"},
		{"169.254.0.0/24", "169.254.0.0/24", "link-local"},
		{"0.0.0.0-1.0.0.9", "0.0.0.0/8", "this host or network"},
		{"240.0.0.0/8", "", ""}, // reserved, and in use here and there
		{"255.255.255.254-255.255.255.255", "255.255.255.255", "broadcast"},
		{"fd00::/8", "", ""},
		{"2001:db8::/64", "", ""},
		{"::", "::", "unspecified"},
		{"::1", "::1", "loopback"},
		{"fe80::/64", "fe80::/64", "link-local"},
		{"ff02::1", "ff02::1", "multicast"},
	} {
		t.Run(tc.text, func(t *testing.T) {
			part, what := mustRange(t, tc.text).Special()
			if !strings.Contains(what, tc.what) || (what == "") != (tc.what == "") {
				t.Errorf("said to be %q, want %q", what, tc.what)
			}
			if what != "" && part.String() != tc.part {
				t.Errorf("part %s, want %s", part, tc.part)
			}
		})
	}
}
