// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/access"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/health"
)

func TestProbesOfAnAddress(t *testing.T) {
	vip, node := netip.MustParseAddr("10.0.0.100"), netip.MustParseAddr("10.1.0.2")
	web := func(change func(c *v1alpha1.ServiceClaim)) v1alpha1.ServiceClaim {
		c := v1alpha1.ServiceClaim{Namespace: "shop", Name: "web", HealthCheck: &v1alpha1.HealthCheck{Type: v1alpha1.HealthCheckTCP}, Ports: []v1alpha1.ServicePort{
			{Protocol: corev1.ProtocolUDP, Port: 53, NodePort: 30053}, {Protocol: corev1.ProtocolTCP, Port: 80, NodePort: 30080}, {Protocol: corev1.ProtocolTCP, Port: 443},
		}}
		change(&c)
		return c
	}
	key := probeKey{addr: vip, service: "shop/web"}
	here := probeKey{addr: vip, service: "shop/web", local: true}
	check := func(kind health.Type, target string) health.Check {
		return health.Check{
			Type: kind, Target: netip.MustParseAddrPort(target), Interval: 2 * time.Second, Timeout: 5 * time.Second,
			Thresholds: health.Thresholds{Healthy: 3, Unhealthy: 3},
		}
	}
	local := check(health.HTTP, "10.1.0.2:32000")
	local.Codes = []health.Codes{{First: 200, Last: 200}}
	full := health.Check{
		Type: health.HTTPS, Target: netip.MustParseAddrPort("10.0.0.100:443"), Path: "/live", Host: "shop.example", Method: "HEAD",
		Codes: []health.Codes{{First: 200, Last: 204}, {First: 301, Last: 301}}, Interval: 7 * time.Second, Timeout: 3 * time.Second,
		Thresholds: health.Thresholds{Healthy: 1, Unhealthy: 4},
	}
	for _, tc := range []struct {
		name  string
		claim v1alpha1.ServiceClaim
		want  map[probeKey]health.Check
	}{
		{"none", web(func(c *v1alpha1.ServiceClaim) { c.HealthCheck = nil }), nil},
		{"the first TCP port", web(func(*v1alpha1.ServiceClaim) {}), map[probeKey]health.Check{key: check(health.TCP, "10.0.0.100:80")}},
		{"the first UDP port", web(func(c *v1alpha1.ServiceClaim) { c.HealthCheck.Type = v1alpha1.HealthCheckUDP }), map[probeKey]health.Check{key: check(health.UDP, "10.0.0.100:53")}},
		{"all settings", web(func(c *v1alpha1.ServiceClaim) {
			c.HealthCheck = &v1alpha1.HealthCheck{
				Type: v1alpha1.HealthCheckHTTPS, Port: 443, Path: "/live", Host: "shop.example", Method: "HEAD", Codes: []string{"200-204", "301"},
				IntervalSeconds: 7, TimeoutSeconds: 3, HealthyThreshold: 1, UnhealthyThreshold: 4,
			}
		}), map[probeKey]health.Check{key: full}},
		{"local endpoints", web(func(c *v1alpha1.ServiceClaim) {
			c.ExternalTrafficPolicy, c.HealthCheckNodePort = corev1.ServiceExternalTrafficPolicyLocal, 32000
		}), map[probeKey]health.Check{key: check(health.TCP, "10.0.0.100:80"), here: local}},
		{"kube-proxy lets the node pass", web(func(c *v1alpha1.ServiceClaim) { c.SourceRanges = []string{"192.0.2.0/24", " 10.1.0.0/16"} }), map[probeKey]health.Check{key: check(health.TCP, "10.0.0.100:80")}},
		{"kube-proxy stops the node: by the node port", web(func(c *v1alpha1.ServiceClaim) { c.SourceRanges = []string{"192.0.2.0/24"} }), map[probeKey]health.Check{key: check(health.TCP, "10.1.0.2:30080")}},
		{"kube-proxy stops the node, and there is no node port", web(func(c *v1alpha1.ServiceClaim) {
			c.SourceRanges, c.HealthCheck.Port = []string{"192.0.2.0/24"}, 443
		}), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := probesOf(vip, []v1alpha1.ServiceClaim{tc.claim}, node)
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateComparable(netip.AddrPort{}, probeKey{}), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAccessEntries(t *testing.T) {
	claim := func(allow, deny []string) v1alpha1.ServiceClaim {
		return v1alpha1.ServiceClaim{
			Namespace: "shop", Name: "web", Ports: []v1alpha1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80}, {Protocol: corev1.ProtocolUDP, Port: 53}},
			AccessControl: &v1alpha1.AccessControl{Allow: allow, Deny: deny},
		}
	}
	base := access.Entry{
		Name: "10.0.0.100 shop/web", Address: netip.MustParseAddr("10.0.0.100"), Ports: []access.Port{{Protocol: access.TCP, Number: 80}, {Protocol: access.UDP, Number: 53}},
	}
	prefix := netip.MustParsePrefix
	for _, tc := range []struct {
		name        string
		allow, deny []string
		want        []access.Entry
	}{
		{"nothing limited", nil, nil, nil},
		{"allowed", []string{"192.0.2.7/24", "198.51.100.1", " 2001:db8::/32"}, nil, []access.Entry{with(base, true,
			[]netip.Prefix{prefix("192.0.2.0/24"), prefix("198.51.100.1/32"), prefix("2001:db8::/32")}, nil)}},
		{"denied", nil, []string{"192.0.2.0/24"}, []access.Entry{with(base, false, nil, []netip.Prefix{prefix("192.0.2.0/24")})}},
		{"allowed what is none", []string{"office"}, nil, []access.Entry{with(base, true, nil, nil)}},
		{"denied what is none", []string{"192.0.2.0/24"}, []string{"office"}, []access.Entry{with(base, true, nil, nil)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			vip := &v1alpha1.VirtualIP{Spec: v1alpha1.VirtualIPSpec{Address: "10.0.0.100", Services: []v1alpha1.ServiceClaim{claim(tc.allow, tc.deny)}}}
			vip.Name = "10.0.0.100"
			got, covered := accessEntries([]*v1alpha1.VirtualIP{vip})
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
				t.Error(diff)
			}
			if (len(covered) > 0) != (tc.want != nil) {
				t.Errorf("covered: %v", covered)
			}
		})
	}
}

func with(e access.Entry, limited bool, allowed, denied []netip.Prefix) access.Entry {
	e.Limited, e.Allowed, e.Denied = limited, allowed, denied
	return e
}
