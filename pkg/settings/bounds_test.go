// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/fairlead-io/fairlead/pkg/settings"
)

// bound returns a limit of the definition of VirtualIPs, by the way to it from spec.
func bound(t *testing.T, way string) int {
	t.Helper()
	text, err := os.ReadFile("../../manifests/crds/fairlead.dev_virtualips.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var at any
	if err := yaml.Unmarshal(text, &at); err != nil {
		t.Fatal(err)
	}
	at = at.(map[string]any)["spec"].(map[string]any)["versions"].([]any)[0] //nolint:forcetypeassert // a definition has versions
	for step := range strings.FieldsSeq("schema openAPIV3Schema properties spec " + way) {
		fields, ok := at.(map[string]any)
		if !ok || fields[step] == nil {
			t.Fatalf("the definition has no %s on the way %s", step, way)
		}
		at = fields[step]
	}
	return int(at.(float64)) //nolint:forcetypeassert // a limit is a number
}

// TestBoundsAreTheAPIs: as much as the API server takes is accepted, and what it would refuse is refused before, by the
// name of the annotation.
func TestBoundsAreTheAPIs(t *testing.T) {
	const (
		l2       = "properties announce items properties l2 properties "
		bgp      = "properties announce items properties bgp properties "
		services = "properties services items properties "
		check    = services + "healthCheck properties "
	)
	each := func(format string) func(n int) string {
		return func(n int) string {
			var items []string
			for i := range n {
				items = append(items, fmt.Sprintf(format, i))
			}
			return strings.Join(items, ",")
		}
	}
	long := func(begin string) func(n int) string {
		return func(n int) string { return begin + strings.Repeat("a", n-len(begin)) }
	}
	// labels of a name are at most 63 characters long
	host := func(n int) string {
		return strings.Repeat(strings.Repeat("a", 49)+".", 4) + strings.Repeat("a", n-206) + ":65535"
	}
	for _, test := range []struct {
		key, way string
		value    func(n int) string
	}{
		{"interfaces", l2 + "interfaces maxItems", each("eth%d")},
		{"interfaces", l2 + "interfaces items maxLength", long("eth")},
		{"bgp-peers", bgp + "peers maxItems", each("tor-%d")},
		{"bgp-communities", bgp + "communities maxItems", each("64512:%d")},
		{"health-check-host", check + "host maxLength", host},
		{"health-check-path", check + "path maxLength", long("/")},
		{"health-check-codes", check + "codes maxItems", each("2%02d")},
		{"health-check-interval", check + "intervalSeconds maximum", func(n int) string { return fmt.Sprint(n) }},
		{"health-check-timeout", check + "timeoutSeconds maximum", func(n int) string { return fmt.Sprint(n) }},
		{"health-check-healthy-threshold", check + "healthyThreshold maximum", func(n int) string { return fmt.Sprint(n) }},
		{"health-check-unhealthy-threshold", check + "unhealthyThreshold maximum", func(n int) string { return fmt.Sprint(n) }},
		{"drain-timeout", services + "drainTimeoutSeconds maximum", func(n int) string { return fmt.Sprint(n) }},
		{"tags", services + "tags maxProperties", each("tag-%d=x")},
		{"display-name", services + "displayName maxLength", long("")},
		{"access-control-allow", services + "accessControl properties allow maxItems", each("fd00:%x::/32")},
		{"access-control-deny", services + "accessControl properties deny maxItems", each("fd00:%x::/32")},
		{"bgp-as-path-prepend", bgp + "asPathPrepend maximum", func(n int) string { return fmt.Sprint(n) }},
		{"bgp-link-bandwidth", bgp + "linkBandwidthPerEndpoint maximum", func(n int) string { return fmt.Sprint(n) }},
	} {
		t.Run(test.key, func(t *testing.T) {
			most := bound(t, test.way)
			key := settings.Prefix + test.key
			if _, _, err := settings.NewParser(config()).Parse(web(map[string]string{key: test.value(most)})); err != nil {
				t.Errorf("%d: %v", most, err)
			}
			_, _, err := settings.NewParser(config()).Parse(web(map[string]string{key: test.value(most + 1)}))
			if !errors.Is(err, settings.ErrInvalid) || !strings.Contains(err.Error(), key) {
				t.Errorf("%d: got %v, want an error that names %s", most+1, err, key)
			}
		})
	}
}
