// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/fairlead-io/fairlead/pkg/settings"
)

// FuzzRow hands a value to the parser of one row, under a key of the row. Seeds are values of the table test, so that each
// parser is entered.
func FuzzRow(f *testing.F) {
	rows, tried := settings.Table(), rowValues()
	for i, row := range rows {
		try := tried[keyOfRow(row)]
		for _, values := range [][]string{try.accepts, try.refuses} {
			if len(values) > 0 { // one of each: many seeds leave little time for others
				f.Add(uint8(i), values[0])
			}
		}
	}
	parser := settings.NewParser(config())
	f.Fuzz(func(t *testing.T, at uint8, value string) {
		row := rows[int(at)%len(rows)]
		service := web(map[string]string{keyOfRow(row): value})
		got, warnings, err := parser.Parse(service)
		if err != nil {
			wantRefused(t, got, keyOfRow(row), err)
			return
		}
		wantReadable(t, got)
		again, warningsAgain, err := parser.Parse(service)
		if err != nil || !reflect.DeepEqual(got, again) || !slices.Equal(warnings, warningsAgain) {
			t.Errorf("%q is read as %+v, and then as %+v (%v)", value, got, again, err)
		}
	})
}

// wantRefused holds an error against what is promised of all: it can be told apart, and names the key.
func wantRefused(t *testing.T, got settings.Settings, key string, err error) {
	t.Helper()
	if !errors.Is(err, settings.ErrInvalid) || !strings.Contains(err.Error(), key) {
		t.Errorf("the error names not %s: %v", key, err)
	}
	if !reflect.DeepEqual(got, settings.Settings{}) {
		t.Errorf("settings come with the error %v: %+v", err, got)
	}
}

// wantReadable holds settings against what those who act on them rely on: the limits of the API, and that a VirtualIP
// gives back what was recorded in it.
func wantReadable(t *testing.T, got settings.Settings) {
	t.Helper()
	if got.AddressesPerFamily < 1 || got.AddressesPerFamily > 16 || len(got.Addresses) > 2 || len(got.Tags) > 64 ||
		len(got.DisplayName) > 253 || len(got.Address.Zones) > 3 {
		t.Errorf("accepted beyond the limits: %+v", got)
	}
	encoded := got.Address.Encode()
	merged := settings.Merge(encoded)
	if back := merged.Encode(); !maps.Equal(encoded, back) {
		t.Errorf("recorded %q, read %q", encoded, back)
	}
	if host := got.Address.Hostname; host != "" && len(validation.IsDNS1123Subdomain(host)) > 0 {
		t.Errorf("the API server does not take the host name %q", host)
	}
	if check := got.HealthCheck; check != nil {
		for _, n := range []int32{check.IntervalSeconds, check.TimeoutSeconds, check.HealthyThreshold, check.UnhealthyThreshold} {
			if n < 0 || n > 300 {
				t.Errorf("accepted the health check %+v", check)
			}
		}
	}
}

// FuzzKey reads annotations under any key: nothing but a key under the known prefixes says anything.
func FuzzKey(f *testing.F) {
	for _, row := range settings.Table() {
		f.Add(keyOfRow(row), "on")
	}
	f.Add("service.beta.kubernetes.io/alicloud-loadbalancer-ProtocolPort", "http:80")
	f.Add("service.beta.kubernetes.io/alicloud-loadbalancer-SLBNetworkType", "classic")
	f.Add("metallb.universe.tf/loadBalancerIPs", "10.0.0.1")
	parser := settings.NewParser(config())
	prefixes := []string{settings.Prefix, "service.beta.kubernetes.io/", "metallb.io/", "metallb.universe.tf/", "kube-vip.io/"}
	f.Fuzz(func(t *testing.T, key, value string) {
		got, warnings, err := parser.Parse(web(map[string]string{key: value}))
		if err != nil {
			wantRefused(t, got, key, err)
		}
		known := slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
		if !known && (err != nil || len(warnings) > 0) {
			t.Errorf("%q %q, which is somebody else's: %v, %v", key, value, warnings, err)
		}
	})
}

// FuzzMerge reads what stands in a VirtualIP, where users may write.
func FuzzMerge(f *testing.F) {
	f.Add("zones", "a,b", "nodes", "edge=true")
	f.Add("announce", "bgp", "bgp-communities", "64512:1,no-export")
	f.Add("leave-on-cordon", "on", "hostname", "www.example.com")
	f.Fuzz(func(t *testing.T, name, value, otherName, otherValue string) {
		older, newer := map[string]string{name: value}, map[string]string{otherName: otherValue}
		merged := settings.Merge(older, newer)
		alone := settings.Merge(older)
		for key, want := range alone.Encode() {
			if got := merged.Encode()[key]; got != want {
				t.Errorf("%s: %q of the older is %q with the newer", key, want, got)
			}
		}
		again := settings.Merge(merged.Encode())
		if !maps.Equal(merged.Encode(), again.Encode()) {
			t.Errorf("%q is read as %q", merged.Encode(), again.Encode())
		}
	})
}

// FuzzTogether reads several annotations that depend on each other and on the spec.
func FuzzTogether(f *testing.F) {
	f.Add("http:80", "http", "80", "on", "office", "white", "10.0.0.1", uint16(80))
	f.Add("tcp:80", "udp", "53", "off", "", "", "", uint16(53))
	parser := settings.NewParser(config())
	f.Fuzz(func(t *testing.T, ports, kind, port, status, list, color, address string, own uint16) {
		service := web(map[string]string{
			settings.Prefix + "protocol-port": ports, settings.Prefix + "health-check-type": kind, settings.Prefix + "health-check-port": port,
			aliPrefix + "acl-status": status, aliPrefix + "acl-id": list, aliPrefix + "acl-type": color, settings.AddressesKey: address,
		})
		service.Spec.Ports = []corev1.ServicePort{{Port: int32(own), Protocol: corev1.ProtocolTCP}}
		got, _, err := parser.Parse(service)
		if err != nil {
			wantRefused(t, got, "annotation", err)
			return
		}
		wantReadable(t, got)
		if check := got.HealthCheck; check != nil && check.Port != 0 && check.Port != int32(own) {
			t.Errorf("port %d is probed, which the Service does not have", check.Port)
		}
	})
}
