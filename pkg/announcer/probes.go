// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/health"
	"github.com/fairlead-io/fairlead/pkg/l2"
)

// Defaults that the API documents.
const (
	defaultProbeInterval  = 2 * time.Second
	defaultProbeTimeout   = 5 * time.Second
	defaultProbeThreshold = 3
)

// probeKey names one probe. An address has one for each Service with a health check, and one more for each with
// externalTrafficPolicy Local.
type probeKey struct {
	addr    netip.Addr
	service string // namespace/name
	local   bool   // asks for ready endpoints on this node
}

// probesOf returns the probes of an address as this node, whose own address of the same family is given, has to make them:
// by way of the address, so that kube-proxy of this node translates them as it does the traffic of clients.
//
// To kube-proxy, a connection from its own node is the cluster's, and goes to endpoints anywhere. Whether there are
// endpoints here, which Services with externalTrafficPolicy Local need, only kube-proxy's healthCheckNodePort tells. And
// kube-proxy holds its own node against loadBalancerSourceRanges: a node outside of them probes the node port, which leads
// to the same endpoints.
func probesOf(addr netip.Addr, claims []v1alpha1.ServiceClaim, node netip.Addr) map[probeKey]health.Check {
	if !slices.ContainsFunc(claims, func(c v1alpha1.ServiceClaim) bool { return c.HealthCheck != nil }) {
		return nil
	}
	out := map[probeKey]health.Check{}
	for i := range claims {
		c := &claims[i]
		key := probeKey{addr: addr, service: c.Namespace + "/" + c.Name}
		if c.HealthCheck != nil {
			if target := probeTarget(addr, c, node); target.IsValid() {
				out[key] = checkOf(c.HealthCheck, target)
			}
		}
		if c.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal && c.HealthCheckNodePort != 0 && node.IsValid() {
			check := checkOf(c.HealthCheck, netip.AddrPortFrom(node, uint16(c.HealthCheckNodePort)))
			check.Type, check.Path, check.Host, check.Method, check.Codes = health.HTTP, "", "", "", []health.Codes{{First: 200, Last: 200}}
			key.local = true
			out[key] = check
		}
	}
	return out
}

// probeTarget returns where a Service is to be probed; the zero value if that cannot be done from this node.
func probeTarget(addr netip.Addr, c *v1alpha1.ServiceClaim, node netip.Addr) netip.AddrPort {
	number := uint16(c.HealthCheck.Port)
	protocol := corev1.ProtocolTCP
	if c.HealthCheck.Type == v1alpha1.HealthCheckUDP {
		protocol = corev1.ProtocolUDP
	}
	at := slices.IndexFunc(c.Ports, func(p v1alpha1.ServicePort) bool {
		return p.Protocol == protocol && (number == 0 || p.Port == int32(number))
	})
	if number == 0 && at >= 0 {
		number = uint16(c.Ports[at].Port)
	}
	switch {
	case number == 0:
		return netip.AddrPort{}
	case inRanges(node, c.SourceRanges):
		return netip.AddrPortFrom(addr, number)
	case at >= 0 && c.Ports[at].NodePort != 0 && node.IsValid():
		return netip.AddrPortFrom(node, uint16(c.Ports[at].NodePort))
	}
	return netip.AddrPort{}
}

// inRanges tells whether kube-proxy lets a source pass. No ranges are no limit.
func inRanges(source netip.Addr, ranges []string) bool {
	return len(ranges) == 0 || slices.ContainsFunc(ranges, func(r string) bool {
		p, err := netip.ParsePrefix(strings.TrimSpace(r))
		return err == nil && p.Contains(source)
	})
}

// checkOf fills in the defaults; there may be nothing but them.
func checkOf(h *v1alpha1.HealthCheck, target netip.AddrPort) health.Check {
	if h == nil {
		h = &v1alpha1.HealthCheck{}
	}
	out := health.Check{
		Type: health.Type(h.Type), Target: target, Path: h.Path, Host: h.Host, Method: h.Method,
		Interval: seconds(h.IntervalSeconds, defaultProbeInterval), Timeout: seconds(h.TimeoutSeconds, defaultProbeTimeout),
		Thresholds: health.Thresholds{
			Healthy: count(h.HealthyThreshold), Unhealthy: count(h.UnhealthyThreshold),
		},
	}
	for _, text := range h.Codes {
		// The schema lets a range through whose end comes before its beginning; no code is in it.
		if c, err := health.ParseCodes(text); err == nil {
			out.Codes = append(out.Codes, c)
		}
	}
	return out
}

func seconds(n int32, otherwise time.Duration) time.Duration {
	if n <= 0 {
		return otherwise
	}
	return time.Duration(n) * time.Second
}

func count(n int32) int {
	if n <= 0 {
		return defaultProbeThreshold
	}
	return int(n)
}

// failureText says in words what a failed probe means.
func failureText(k probeKey, v health.Verdict) string {
	if k.local {
		return fmt.Sprintf("Service %s has no ready endpoint on this node: %s", k.service, v.Reason)
	}
	return fmt.Sprintf("the health check of Service %s fails on this node: %s", k.service, v.Reason)
}

// nodeAddress returns an address of the node of the same family as the given one: the preferred one if it is, or else one
// on the link with the default route, or on any.
func nodeAddress(links []l2.Link, preferred, like netip.Addr) netip.Addr {
	if preferred.Is4() == like.Is4() {
		return preferred
	}
	var best netip.Addr
	for _, l := range links {
		if !l.Usable() || ofContainers(l) {
			continue
		}
		for _, p := range l.Addresses {
			a := p.Addr()
			if a.Is4() != like.Is4() || a.IsLinkLocalUnicast() {
				continue
			}
			if like.Is4() && l.DefaultRoute4 || like.Is6() && l.DefaultRoute6 {
				return a
			}
			if !best.IsValid() {
				best = a
			}
		}
	}
	return best
}
