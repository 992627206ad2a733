// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/settings"
)

const (
	legacyPrefix = "service.beta.kubernetes.io/alicloud-loadbalancer-"
	specIP       = "spec.loadBalancerIP" // stands for the field among annotations
)

// read parses annotations, and spec.loadBalancerIP among them, and returns the keys that have no effect because of others.
func read(t *testing.T, annotations map[string]string) (got settings.Settings, losers []string) {
	t.Helper()
	service := web(annotations)
	service.Spec.LoadBalancerIP = annotations[specIP]
	delete(annotations, specIP)
	got, warnings, err := settings.NewParser(config()).Parse(service)
	if err != nil {
		t.Fatal(err)
	}
	for _, warning := range warnings {
		if warning.Reason == settings.ReasonOverridden {
			losers = append(losers, strings.Fields(strings.TrimPrefix(warning.Text, "annotation "))[0])
		}
	}
	slices.Sort(losers)
	return got, losers
}

// TestPrecedenceOfSpellings holds each spelling of a setting against all that come after it.
func TestPrecedenceOfSpellings(t *testing.T) {
	for setting, test := range map[string]struct {
		spellings []string // the one that wins first
		value     func(i int) string
		got       func(s settings.Settings) string
	}{
		"addresses": {
			[]string{
				settings.AddressesKey, aliPrefix + "ip", legacyPrefix + "ip", legacyPrefix + "IP", "metallb.io/loadBalancerIPs",
				"metallb.universe.tf/loadBalancerIPs", "kube-vip.io/loadbalancerIPs", specIP,
			},
			func(i int) string { return fmt.Sprintf("10.0.0.%d", i+1) },
			func(s settings.Settings) string { return s.Addresses[0].String() },
		},
		"pools": {
			[]string{
				settings.AddressPoolKey, aliPrefix + "vswitch-id", legacyPrefix + "vswitch-id", aliPrefix + "VSwitchID",
				"metallb.io/address-pool", "metallb.universe.tf/address-pool",
			},
			func(i int) string { return fmt.Sprintf("pool-%d", i) },
			func(s settings.Settings) string { return s.Pools[0] },
		},
		"nodes": {
			[]string{settings.NodesKey, aliPrefix + "backend-label", legacyPrefix + "backend-label", legacyPrefix + "BackendLabel"},
			func(i int) string { return fmt.Sprintf("rack=%d", i) },
			func(s settings.Settings) string { return s.Address.Nodes },
		},
	} {
		for i, winner := range test.spellings {
			for j := i + 1; j < len(test.spellings); j++ {
				loser := test.spellings[j]
				t.Run(setting+"/"+winner+" over "+loser, func(t *testing.T) {
					got, losers := read(t, map[string]string{winner: test.value(i), loser: test.value(j)})
					if made := test.got(got); made != test.value(i) || !slices.Equal(losers, []string{loser}) {
						t.Errorf("%s is read, and %v are warned of", made, losers)
					}
					if _, losers := read(t, map[string]string{winner: test.value(i), loser: test.value(i)}); len(losers) > 0 {
						t.Errorf("%v are warned of, though they say the same", losers)
					}
				})
			}
		}
	}
}

// TestEmptySpellings: an empty annotation wins over other spellings, but not over the spec, and loses without a word.
func TestEmptySpellings(t *testing.T) {
	got, losers := read(t, map[string]string{aliPrefix + "backend-label": "", legacyPrefix + "backend-label": "rack=1"})
	if got.Address.Nodes != "" || !slices.Equal(losers, []string{legacyPrefix + "backend-label"}) {
		t.Errorf("nodes %q, %v are warned of", got.Address.Nodes, losers)
	}
	got, losers = read(t, map[string]string{aliPrefix + "backend-label": "rack=1", legacyPrefix + "backend-label": ""})
	if got.Address.Nodes != "rack=1" || len(losers) > 0 {
		t.Errorf("nodes %q, %v are warned of", got.Address.Nodes, losers)
	}
	got, losers = read(t, map[string]string{settings.AddressesKey: " ", specIP: "10.0.0.7"})
	if !slices.Equal(got.Addresses, []netip.Addr{netip.MustParseAddr("10.0.0.7")}) || len(losers) > 0 {
		t.Errorf("addresses %v, %v are warned of", got.Addresses, losers)
	}
}

// TestPrecedenceOfSettings is about annotations that set the same by different means.
func TestPrecedenceOfSettings(t *testing.T) {
	with := func(annotations map[string]string, key, value string) map[string]string {
		annotations[key] = value
		return annotations
	}
	address := func(s settings.Settings) any { return s.Addresses[0].String() }
	pools := func(s settings.Settings) any { return s.Pools }
	drain := func(s settings.Settings) any { return s.DrainTimeout }
	zones := func(s settings.Settings) any { return s.Address.Zones }
	checked := func(s settings.Settings) any { return s.HealthCheck != nil }
	timeout := func(s settings.Settings) any { return s.HealthCheck.TimeoutSeconds }
	for _, test := range []struct {
		name   string
		said   map[string]string
		got    func(s settings.Settings) any
		want   any
		losers []string
	}{
		{"addresses over an id", said("addresses=10.0.0.1", "+id=10.0.0.2"), address, "10.0.0.1", keysOf("+id")},
		{"addresses as the id", said("addresses=10.0.0.1,fd00::1", "+id=10.0.0.1"), address, "10.0.0.1", nil},
		{"addresses over a zone's", said("addresses=10.0.0.1", "+zone-maps=a:office:10.0.0.2"), address, "10.0.0.1", keysOf("+zone-maps")},
		{"an id over MetalLB", with(said("+id=10.0.0.2"), "metallb.io/loadBalancerIPs", "10.0.0.1"), address, "10.0.0.2", []string{"metallb.io/loadBalancerIPs"}},
		{"an id over the spec", with(said("+id=10.0.0.2"), specIP, "10.0.0.1"), address, "10.0.0.2", []string{specIP}},
		{"pools over a zone's", said("address-pool=lab", "+zone-maps=a:office"), pools, []string{"lab"}, keysOf("+zone-maps")},
		{"a zone's pool over MetalLB", with(said("+zone-maps=a:office"), "metallb.io/address-pool", "lab"), pools, []string{"office"}, []string{"metallb.io/address-pool"}},
		{"a subnet over a zone's pool", said("+vswitch-id=lab", "+zone-maps=a:office"), pools, []string{"lab"}, keysOf("+zone-maps")},
		{"zones over the first", said("zones=a,b", "+master-zoneid=b"), zones, []string{"a", "b"}, keysOf("+master-zoneid")},
		{"zones that begin with them", said("zones=a,b,c", "+master-zoneid=a", "+slave-zoneid=b"), zones, []string{"a", "b", "c"}, nil},
		{"no drain", said("drain-timeout=60", "+connection-drain=off"), drain, new(time.Minute), keysOf("+connection-drain")},
		{"another drain", said("drain-timeout=60", "+connection-drain=on", "+connection-drain-timeout=90"), drain, new(time.Minute), keysOf("+connection-drain-timeout")},
		{"the same drain", said("drain-timeout=60", "+connection-drain=on", "+connection-drain-timeout=60"), drain, new(time.Minute), nil},
		{"a check that is off", said("health-check=off", "+health-check-flag=on"), checked, false, keysOf("+health-check-flag")},
		{"a check that is on", said("health-check=on", "+health-check-switch=off"), checked, true, keysOf("+health-check-switch")},
		{"a check that is on for both", said("health-check=on", "+health-check-switch=on"), checked, true, nil},
		{"a timeout", said("health-check-timeout=4", "+health-check-connect-timeout=5"), timeout, int32(4), keysOf("+health-check-connect-timeout")},
		{"a timeout of requests", said("health-check-timeout=4", "+health-check-timeout=5"), timeout, int32(4), keysOf("+health-check-timeout")},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, losers := read(t, test.said)
			if diff := cmp.Diff(test.want, test.got(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !slices.Equal(losers, test.losers) {
				t.Errorf("%v are warned of, want %v", losers, test.losers)
			}
		})
	}
}

// keysOf returns the keys of annotations that are written as for said.
func keysOf(names ...string) []string {
	var keys []string
	for key := range said(names...) {
		keys = append(keys, key)
	}
	return keys
}

// TestFixedSettingsNameTheirAnnotation: an event that refuses to move an address names what was changed.
func TestFixedSettingsNameTheirAnnotation(t *testing.T) {
	for _, test := range []struct {
		said          map[string]string
		setting, want string
		pool, address bool
	}{
		{said("+vswitch-id=office"), "address-pool", aliPrefix + "vswitch-id", true, false},
		{said("+zone-maps=a:office:10.0.0.1"), "address-pool", aliPrefix + "zone-maps", true, false},
		{said("+id=10.0.0.1"), "addresses", aliPrefix + "id", false, true},
		{said("+id=10.0.0.1", "addresses=10.0.0.1"), "addresses", settings.AddressesKey, false, false},
		{said("+vswitch-id=lab", "address-pool=office"), "address-pool", settings.AddressPoolKey, false, false},
	} {
		got, _ := read(t, test.said)
		if key := got.KeyOf(test.setting); key != test.want || got.PoolFixed != test.pool || got.AddressFixed != test.address {
			t.Errorf("%v: made by %s, pool fixed %t, address fixed %t", test.said, key, got.PoolFixed, got.AddressFixed)
		}
	}
}

// TestWithoutEffect: what lacks another annotation, or has no room in an address, is told.
func TestWithoutEffect(t *testing.T) {
	for _, test := range []struct {
		said map[string]string
		want []string // of one warning
	}{
		{said("+connection-drain-timeout=60"), []string{"connection-drain-timeout", "60", "connection-drain on"}},
		{said("+acl-id=office"), []string{"acl-id", "office", "acl-status on"}},
		{said("+zone-maps=a:office,b:office:10.0.0.2"), []string{"b:office:10.0.0.2 counts as a zone only"}},
		{said("+zone-maps=a:office,b:lab"), []string{"b:lab counts as a zone only"}},
		{said("+zone-maps=a:office:10.0.0.2:eip"), []string{"there is no address in front of the address"}},
	} {
		_, warnings, err := settings.NewParser(config()).Parse(web(test.said))
		told := slices.ContainsFunc(warnings, func(w settings.Warning) bool {
			return w.Reason == settings.ReasonIgnored && !slices.ContainsFunc(test.want, func(part string) bool { return !strings.Contains(w.Text, part) })
		})
		if err != nil || !told {
			t.Errorf("%v: %v, %v", test.said, warnings, err)
		}
	}
	for _, said := range []map[string]string{said("+connection-drain-timeout=60", "+connection-drain=off"), said("+acl-id=office", "+acl-status=off"), said("+zone-maps=a:office,b:office")} {
		if _, warnings, err := settings.NewParser(config()).Parse(web(said)); err != nil || len(warnings) > 0 {
			t.Errorf("%v: %v, %v", said, warnings, err)
		}
	}
}

// TestAnAddressOfAnotherFamily: what is asked for in vain is told, by its key.
func TestAnAddressOfAnotherFamily(t *testing.T) {
	v4, v6 := corev1.IPv4Protocol, corev1.IPv6Protocol
	for _, test := range []struct {
		said     map[string]string
		families []corev1.IPFamily
		want     string // nothing for no warning
	}{
		{said("addresses=fd00::5"), []corev1.IPFamily{v4}, settings.AddressesKey + ": fd00::5 has no effect: the Service is of IPv4 only"},
		{said("addresses=10.0.0.5"), []corev1.IPFamily{v6}, "10.0.0.5 has no effect: the Service is of IPv6 only, expected IPv4 in spec.ipFamilies"},
		{map[string]string{specIP: "fd00::5"}, []corev1.IPFamily{v4}, specIP + ": fd00::5 has no effect"},
		{said("address-range=fd00::/64"), []corev1.IPFamily{v4}, settings.Prefix + "address-range: fd00::/64 has no effect"},
		{said("addresses=fd00::5", "+ip-version=ipv4"), []corev1.IPFamily{v4, v6}, "fd00::5 has no effect"},
		{said("addresses=10.0.0.5,fd00::5", "address-range=fd00::/64"), []corev1.IPFamily{v4, v6}, ""},
		{said("addresses=10.0.0.5"), []corev1.IPFamily{v4}, ""},
		{said("addresses=10.0.0.5"), nil, ""},
	} {
		service := web(test.said)
		service.Spec.IPFamilies, service.Spec.LoadBalancerIP = test.families, test.said[specIP]
		delete(test.said, specIP)
		_, warnings, err := settings.NewParser(config()).Parse(service)
		told := len(warnings) == 1 && warnings[0].Reason == settings.ReasonIgnored && strings.Contains(warnings[0].Text, test.want)
		if err != nil || told != (test.want != "") || test.want == "" && len(warnings) > 0 {
			t.Errorf("%v of %v: %v, %v, want %q", test.said, test.families, warnings, err, test.want)
		}
	}
}

// TestTooManyClientsNameTheirAnnotations: of several limits the error says which there are.
func TestTooManyClientsNameTheirAnnotations(t *testing.T) {
	var list []string
	for i := range 1025 {
		list = append(list, fmt.Sprintf("10.%d.%d.0/24", 2*i/256, 2*i%256))
	}
	service := web(said("access-control-deny=" + strings.Join(list, ",")))
	if _, _, err := settings.NewParser(config()).Parse(service); !errors.Is(err, settings.ErrInvalid) || !strings.Contains(err.Error(), settings.AccessControlDenyKey) {
		t.Errorf("got %v", err)
	}
}
