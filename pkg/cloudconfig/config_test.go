// SPDX-License-Identifier: Apache-2.0

package cloudconfig_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-io/fairlead/pkg/cloudconfig"
)

const head = "apiVersion: config.fairlead.dev/v1alpha1\nkind: CloudConfig\n"

func TestParseSetsDefaults(t *testing.T) {
	got, err := cloudconfig.Parse([]byte(head))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(cloudconfig.Default(), got); diff != "" {
		t.Errorf("an empty file differs from the defaults (-want +got):\n%s", diff)
	}
	if got.Namespace != "fairlead-system" || got.Nodes.ExcludeLabel != cloudconfig.ExcludeLabelHonor {
		t.Errorf("defaults: %+v", got)
	}
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"unknown field", head + "nodez: {}", []string{"nodez"}},
		{"unknown nested field", head + "nodes: {exclude: x}", []string{"exclude"}},
		{"wrong type", head + "zones: 3", []string{"zones"}},
		{"no kind", "apiVersion: config.fairlead.dev/v1alpha1", []string{`kind ""`, "CloudConfig"}},
		{"other version", "apiVersion: config.fairlead.dev/v9\nkind: CloudConfig", []string{"v9", "v1alpha1"}},
		{"bad enum", head + "nodes: {excludeLabel: maybe}", []string{"nodes.excludeLabel", "maybe", "Honor", "Ignore"}},
		{"bad dead node policy", head + "nodes: {deadNodeEndpoints: x}", []string{"nodes.deadNodeEndpoints", "MarkNotReady", "Leave"}},
		{"bad namespace", head + "namespace: A_b", []string{"namespace", "A_b"}},
		{"zone missing", head + "zones: [{names: [a]}]", []string{"zones[0].zone", "Required"}},
		{"no matcher", head + "zones: [{zone: a}]", []string{"zones[0]", "exactly one of"}},
		{"two matchers", head + "zones: [{zone: a, names: [x], cidrs: [10.0.0.0/8]}]", []string{"exactly one of"}},
		{
			"bad cidr and bad glob", head + "zones: [{zone: a, cidrs: [10/8]}, {zone: b, names: ['[']}]",
			[]string{"zones[0].cidrs[0]", "10/8", "zones[1].names[0]"},
		},
		{
			"bad dialect, type and list",
			head + "settings: {disabledDialects: [aws], addressTypes: {Inner: [A_b], outer: []}, defaultAddressType: x, accessLists: {office: [10/8]}}",
			[]string{
				"settings.disabledDialects[0]", "aws", "metallb", "settings.addressTypes[Inner]", "A_b", "settings.addressTypes[outer]",
				"settings.defaultAddressType", "settings.accessLists[office][0]", "10/8",
			},
		},
		{"not yaml", "{", []string{"yaml"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := cloudconfig.Parse([]byte(test.text))
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	if _, err := cloudconfig.Load("no/such/file"); err == nil || !strings.Contains(err.Error(), "no/such/file") {
		t.Errorf("got %v", err)
	}
	if got, err := cloudconfig.Load(""); err != nil || got == nil {
		t.Errorf("no file: %v, %v", got, err)
	}
}

func TestZoneIsTheFirstRuleThatMatches(t *testing.T) {
	config, err := cloudconfig.Parse([]byte(head + `
zones:
- {zone: a, region: north, names: ["rack1-*"]}
- {zone: b, cidrs: ["10.2.0.0/16", "fd00:2::/64"]}
- {zone: c, labels: {rack: "3", row: ""}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, node, address string
		labels              map[string]string
		zone, region        string
	}{
		{"by name, before the address", "rack1-7", "10.2.0.1", nil, "a", "north"},
		{"by IPv4 address", "n", "10.2.3.4", nil, "b", ""},
		{"by IPv6 address", "n", "fd00:2::7", nil, "b", ""},
		{"by labels", "n", "10.9.0.1", map[string]string{"rack": "3", "row": "", "x": "y"}, "c", ""},
		{"all labels must be there", "n", "10.9.0.1", map[string]string{"rack": "3"}, "", ""},
		{"no rule", "n", "10.9.0.1", nil, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			zone, region := config.Zone(test.node, []netip.Addr{netip.MustParseAddr(test.address)}, test.labels)
			if zone != test.zone || region != test.region {
				t.Errorf("got zone %q, region %q, want %q, %q", zone, region, test.zone, test.region)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(head + "zones: [{zone: a, names: [x]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := cloudconfig.Parse(data)
		if (config == nil) == (err == nil) {
			t.Fatalf("config %v and error %v", config, err)
		}
	})
}
