// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

func service(annotations map[string]string, loadBalancerIP string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Annotations: annotations},
		Spec:       corev1.ServiceSpec{LoadBalancerIP: loadBalancerIP},
	}
}

func parse(service *corev1.Service) (settings.Settings, error) {
	got, _, err := settings.NewParser(settings.Config{}).Parse(service)
	return got, err
}

func TestParseAccepts(t *testing.T) {
	v4, v6 := netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("fd00::7")
	within, err := ipam.ParseRange("10.0.0.0/28")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name           string
		annotations    map[string]string
		loadBalancerIP string
		want           settings.Settings
	}{
		{"nothing", nil, "", settings.Settings{AddressesPerFamily: 1}},
		{"others' annotations", map[string]string{"example.com/x": "y"}, "", settings.Settings{AddressesPerFamily: 1}},
		{
			"pools in order",
			map[string]string{settings.AddressPoolKey: "b, a"},
			"",
			settings.Settings{AddressesPerFamily: 1, Pools: []string{"b", "a"}},
		},
		{
			"an address per family",
			map[string]string{settings.AddressesKey: "10.0.0.7,fd00::7"},
			"",
			settings.Settings{AddressesPerFamily: 1, Addresses: []netip.Addr{v4, v6}},
		},
		{"spec.loadBalancerIP", nil, "10.0.0.7", settings.Settings{AddressesPerFamily: 1, Addresses: []netip.Addr{v4}}},
		{
			"the annotation wins over spec.loadBalancerIP",
			map[string]string{settings.AddressesKey: "fd00::7"},
			"10.0.0.7",
			settings.Settings{AddressesPerFamily: 1, Addresses: []netip.Addr{v6}},
		},
		{
			"range",
			map[string]string{settings.AddressRangeKey: " 10.0.0.0/28 "},
			"",
			settings.Settings{AddressesPerFamily: 1, Range: within},
		},
		{"several", map[string]string{settings.AddressesPerFamilyKey: "3"}, "", settings.Settings{AddressesPerFamily: 3}},
		{
			"sharing",
			map[string]string{settings.SharingKeyKey: "dns"},
			"",
			settings.Settings{AddressesPerFamily: 1, SharingKey: "dns"},
		},
		{
			"id",
			map[string]string{settings.IDKey: "static-web"},
			"",
			settings.Settings{AddressesPerFamily: 1, ID: "static-web"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parse(service(test.annotations, test.loadBalancerIP))
			if err != nil {
				t.Fatal(err)
			}
			same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
			if diff := cmp.Diff(test.want, got, same, cmp.Comparer(func(a, b ipam.Range) bool { return a == b }),
				cmpopts.IgnoreUnexported(settings.Settings{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseNamesEveryWrongAnnotation(t *testing.T) {
	for _, test := range []struct {
		name           string
		annotations    map[string]string
		loadBalancerIP string
		want           []string
	}{
		{"empty pool", map[string]string{settings.AddressPoolKey: "a,,b"}, "", []string{settings.AddressPoolKey, "a,,b", "commas"}},
		{"pool name", map[string]string{settings.AddressPoolKey: "A b"}, "", []string{"A b", "AddressPool"}},
		{"address", map[string]string{settings.AddressesKey: "10.0.0"}, "", []string{"10.0.0", "IP address such as"}},
		{"mapped address", map[string]string{settings.AddressesKey: "::ffff:1.2.3.4"}, "", []string{"::ffff:1.2.3.4"}},
		{"two of a family", map[string]string{settings.AddressesKey: "10.0.0.1,10.0.0.2"}, "", []string{"both IPv4"}},
		{"loadBalancerIP", nil, "x", []string{"spec.loadBalancerIP", "x"}},
		{"range", map[string]string{settings.AddressRangeKey: "10.0.0.9-10.0.0.1"}, "", []string{settings.AddressRangeKey, "10.0.0.9-10.0.0.1"}},
		{"count", map[string]string{settings.AddressesPerFamilyKey: "17"}, "", []string{"17", "1 to 16"}},
		{"sharing key", map[string]string{settings.SharingKeyKey: "a b"}, "", []string{"a b", "letters"}},
		{"id", map[string]string{settings.IDKey: "UP"}, "", []string{"UP", "spec.id"}},
		{
			"all at once",
			map[string]string{settings.IDKey: "UP", settings.AddressesPerFamilyKey: "0"},
			"",
			[]string{settings.IDKey, settings.AddressesPerFamilyKey},
		},
		{
			"several shared",
			map[string]string{settings.AddressesPerFamilyKey: "2", settings.SharingKeyKey: "k"},
			"",
			[]string{settings.AddressesPerFamilyKey, settings.SharingKeyKey, "exclude each other"},
		},
		{
			"id and address",
			map[string]string{settings.IDKey: "a", settings.AddressesKey: "10.0.0.1"},
			"",
			[]string{"exclude each other"},
		},
		{
			"address outside the range",
			map[string]string{settings.AddressRangeKey: "10.1.0.0/24", settings.AddressesKey: "10.0.0.1"},
			"",
			[]string{"10.0.0.1 lies outside", "10.1.0.0/24"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := parse(service(test.annotations, test.loadBalancerIP))
			if !errors.Is(err, settings.ErrInvalid) {
				t.Fatalf("got %v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a,b", "10.0.0.1", "10.0.0.0/24", "1", "k", "id")
	f.Fuzz(func(t *testing.T, pools, addresses, within, count, key, id string) {
		got, err := parse(service(map[string]string{
			settings.AddressPoolKey: pools, settings.AddressesKey: addresses, settings.AddressRangeKey: within,
			settings.AddressesPerFamilyKey: count, settings.SharingKeyKey: key, settings.IDKey: id,
		}, ""))
		if err == nil && (got.AddressesPerFamily < 1 || got.AddressesPerFamily > 16 || len(got.Addresses) > 2) {
			t.Errorf("accepted %+v", got)
		}
	})
}

// TestNodesAreKnownByWhoSelectedThem: a warning that no node is selected names the annotation to look at.
func TestNodesAreKnownByWhoSelectedThem(t *testing.T) {
	const elsewhere = "service.beta.kubernetes.io/alibaba-cloud-loadbalancer-"
	zones := map[string]string{elsewhere + "zone-maps": "east:office"}
	both := map[string]string{elsewhere + "zone-maps": "east:office", settings.NodesKey: "role=edge"}
	for want, annotations := range map[string]map[string]string{
		elsewhere + "zone-maps": zones, settings.NodesKey: both,
	} {
		got, err := parse(service(annotations, ""))
		if err != nil {
			t.Fatal(err)
		}
		if key := got.KeyOf("nodes"); key != want || got.Address.Nodes == "" {
			t.Errorf("%v: nodes %q are selected by %s, want %s", annotations, got.Address.Nodes, key, want)
		}
	}
}
