// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// said reads annotations such as "health-check=on", own ones or, with a + before it, Alibaba Cloud's.
func said(annotations ...string) map[string]string {
	all := map[string]string{}
	for _, annotation := range annotations {
		key, value, _ := strings.Cut(annotation, "=")
		if suffix, ok := strings.CutPrefix(key, "+"); ok {
			all[aliPrefix+suffix] = value
		} else {
			all[settings.Prefix+key] = value
		}
	}
	return all
}

// unasked returns the keys of which warnings say that the probe does not ask for it, in order.
func unasked(warnings []settings.Warning) []string {
	var keys []string
	for _, warning := range warnings {
		if warning.Reason == settings.ReasonIgnored && strings.HasSuffix(warning.Text, "which does not ask for it") {
			keys = append(keys, strings.Fields(warning.Text)[1])
		}
	}
	slices.Sort(keys)
	return keys
}

// TestHealthCheckAsksWhatItCan: what is said of requests has a probe that makes them, or a warning.
func TestHealthCheckAsksWhatItCan(t *testing.T) {
	const own = settings.Prefix
	usual := v1alpha1.HealthCheck{Type: v1alpha1.HealthCheckTCP, IntervalSeconds: 2, TimeoutSeconds: 5, HealthyThreshold: 3, UnhealthyThreshold: 3}
	with := func(change func(check *v1alpha1.HealthCheck)) v1alpha1.HealthCheck {
		check := usual
		change(&check)
		return check
	}
	type check = v1alpha1.HealthCheck
	for _, test := range []struct {
		name    string
		said    map[string]string
		want    v1alpha1.HealthCheck
		ignored []string
	}{
		{
			"the manifest of an HTTP listener", said("+protocol-port=http:80", "+health-check-flag=on", "+health-check-uri=/healthz", "+health-check-httpcode=http_2xx"),
			with(func(c *check) {
				c.Type, c.Port, c.Path, c.Codes = v1alpha1.HealthCheckHTTP, 80, "/healthz", []string{"200-299"}
			}), nil,
		},
		{
			"HTTP on the second port", said("protocol-port=tcp:80,http:443", "health-check=on"),
			with(func(c *check) { c.Type, c.Port = v1alpha1.HealthCheckHTTP, 443 }), nil,
		},
		{
			"a type that fits the second port", said("protocol-port=http:443", "health-check-type=http"),
			with(func(c *check) { c.Type, c.Port = v1alpha1.HealthCheckHTTP, 443 }), nil,
		},
		{
			"a port that speaks something else", said("protocol-port=http:80", "health-check-port=443"),
			with(func(c *check) { c.Port = 443 }), nil,
		},
		{
			"a port of the pods", said("+protocol-port=http:80", "+health-check-connect-port=8080", "+health-check-uri=/"),
			with(func(c *check) { c.Type, c.Port, c.Path = v1alpha1.HealthCheckHTTP, 80, "/" }), nil,
		},
		{"the type that is said counts", said("protocol-port=http:80", "health-check-type=tcp"), usual, nil},
		{"an HTTP port that the Service has not", said("protocol-port=http:81", "health-check=on"), usual, nil},
		{"a path alone", said("health-check-path=/healthz"), usual, []string{own + "health-check-path"}},
		{
			"a request over UDP", said("health-check-type=udp", "health-check-path=/", "health-check-codes=200", "health-check-host=a", "health-check-method=GET"),
			with(func(c *check) { c.Type = v1alpha1.HealthCheckUDP }),
			[]string{own + "health-check-codes", own + "health-check-host", own + "health-check-method", own + "health-check-path"},
		},
		{
			"gRPC has names, no codes", said("health-check-type=grpc", "health-check-path=cart", "health-check-host=a", "+health-check-httpcode=http_2xx", "health-check-method=HEAD"),
			with(func(c *check) { c.Type, c.Path, c.Host = v1alpha1.HealthCheckGRPC, "cart", "a" }),
			[]string{own + "health-check-method", aliPrefix + "health-check-httpcode"},
		},
		{
			"a port that leads nowhere", said("+protocol-port=http:80", "+health-check-flag=on", "+health-check-connect-port=9", "+health-check-uri=/healthz"),
			usual,
			[]string{aliPrefix + "health-check-uri"},
		},
		{
			"a timeout below the usual interval", said("+health-check-switch=on", "+health-check-connect-timeout=1"),
			with(func(c *check) { c.TimeoutSeconds = 2 }), nil,
		},
		{
			"a timeout of requests", said("+protocol-port=http:80", "+health-check-flag=on", "+health-check-timeout=9", "+health-check-connect-timeout=7"),
			with(func(c *check) { c.Type, c.Port, c.TimeoutSeconds = v1alpha1.HealthCheckHTTP, 80, 9 }), nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, warnings, err := settings.NewParser(config()).Parse(web(test.said))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&test.want, got.HealthCheck); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.ignored, unasked(warnings)); diff != "" {
				t.Errorf("ignored (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHealthCheckOfAServiceWithUDPOnly(t *testing.T) {
	service := web(said("protocol-port=udp:53", "health-check=on"))
	service.Spec.Ports = []corev1.ServicePort{{Port: 53, Protocol: corev1.ProtocolUDP}}
	got, _, err := settings.NewParser(config()).Parse(service)
	if err != nil || got.HealthCheck == nil || got.HealthCheck.Type != v1alpha1.HealthCheckUDP {
		t.Errorf("got %+v, %v", got.HealthCheck, err)
	}
}

// TestPathsThatCannotBeAskedFor: they are refused where a request is made, and are names like others elsewhere.
func TestPathsThatCannotBeAskedFor(t *testing.T) {
	for path, ok := range map[string]bool{
		"/": true, "/a%20b?c=d&e": true, "//a": true, "/ä": true,
		"healthz": false, "/%zz": false, "/a#b": false, "/a\x7f": false, "/a\x00": false, "*": false, "http://a/": false,
	} {
		for _, kind := range []string{"http", "https"} {
			_, _, err := settings.NewParser(config()).Parse(web(said("health-check-type="+kind, "health-check-path="+path)))
			if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "health-check-path") {
				t.Errorf("%s %q: %v", kind, path, err)
			}
		}
		if _, _, err := settings.NewParser(config()).Parse(web(said("health-check-type=grpc", "health-check-path="+path))); err != nil {
			t.Errorf("the service %q is refused: %v", path, err)
		}
	}
}
