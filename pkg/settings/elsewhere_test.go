// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"testing"

	"github.com/fairlead-io/fairlead/pkg/settings"
)

// TestElsewhere: each spelling of the annotations that name another controller has the Service left alone.
func TestElsewhere(t *testing.T) {
	const class = "service.beta.kubernetes.io/class"
	for _, test := range []struct {
		key, value string
		want       bool
	}{
		{class, "other", true},
		{class, "", false},
		{aliPrefix + "tunnel-type", "", true},
		{aliPrefix + "TunnelType", "x", true},
		{legacyPrefix + "tunnel-type", "", true},
		{legacyPrefix + "tunnel_type", "x", true},
		{aliPrefix + "type", "nlb", false},
		{"example.com/tunnel-type", "x", false},
	} {
		service := web(map[string]string{test.key: test.value})
		if got := settings.NewParser(settings.Config{}).Elsewhere(service); got != test.want {
			t.Errorf("%s %q: %t, want %t", test.key, test.value, got, test.want)
		}
		off := settings.NewParser(settings.Config{Disabled: []settings.Dialect{settings.AlibabaCloud}})
		if off.Elsewhere(service) {
			t.Errorf("%s %q counts, though its dialect is switched off", test.key, test.value)
		}
	}
}
