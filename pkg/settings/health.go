// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// healthDraft is what annotations say of the health check.
type healthDraft struct {
	// on is the own switch; ofHTTP and ofTransport are the two elsewhere, for ports that speak HTTP and for others.
	on, ofHTTP, ofTransport *bool
	check                   v1alpha1.HealthCheck
	// detailed says that something is set that only a health check can mean.
	detailed bool
	// connectPort is a port of the pods or nodes, not of the Service.
	connectPort int32
	// connectTimeout and requestTimeout are for probes that only connect, and for those that ask.
	connectTimeout, requestTimeout int32
}

// detail wraps a parser of something that only a health check can mean.
func detail(parse parser) parser {
	return func(d *draft, value string) (string, error) {
		canonical, err := parse(d, value)
		d.health.detailed = d.health.detailed || canonical != ""
		return canonical, err
	}
}

// healthNumber reads a number of the health check.
func healthNumber(least, most int64, to func(h *healthDraft) *int32, unset ...string) parser {
	return detail(number(least, most, func(d *draft, n int64) { *to(&d.health) = int32(n) }, unset...))
}

// healthType reads one of the types; not all dialects have all.
func healthType(names ...string) parser {
	return detail(func(d *draft, value string) (string, error) {
		name, err := oneOf(names...)(d, value)
		d.health.check.Type = probes()[name]
		return name, err
	})
}

func parseHealthPath(d *draft, value string) (string, error) {
	if len(value) > 255 || strings.ContainsAny(value, " \t\r\n") {
		return "", fmt.Errorf("expected a path such as /healthz, or the name of a service for gRPC: at most 255 characters, without spaces")
	}
	d.health.check.Path = value
	return value, nil
}

// parseHealthHost reads a Host header; $_ip stands for the address.
func parseHealthHost(d *draft, value string) (string, error) {
	if value == "$_ip" {
		return "", nil
	}
	host, port, found := strings.Cut(value, ":")
	if found {
		if _, err := parseNumber(port, 1, 65535); err != nil {
			return "", fmt.Errorf("expected a DNS name such as www.example.com")
		}
	}
	if len(validation.IsDNS1123Subdomain(strings.ToLower(host))) > 0 {
		return "", fmt.Errorf("expected a DNS name such as www.example.com")
	}
	d.health.check.Host = value
	return value, nil
}

func parseHealthMethod(d *draft, value string) (string, error) {
	method, err := oneOf("GET", "HEAD")(d, value)
	d.health.check.Method = method
	return method, err
}

// parseCodes reads status codes and ranges of them.
func parseCodes(d *draft, value string) (string, error) {
	items, err := list(value)
	if err != nil {
		return "", err
	}
	for i, item := range items {
		first, last, found := strings.Cut(item, "-")
		if !found {
			last = first
		}
		low, lowErr := parseNumber(first, 100, 599)
		high, highErr := parseNumber(last, 100, 599)
		if lowErr != nil || highErr != nil || high < low || slices.Contains(items[:i], item) {
			return "", fmt.Errorf("%q: expected status codes such as 204 or 200-299, each once", item)
		}
	}
	if len(items) > 16 {
		return "", fmt.Errorf("expected at most 16 codes")
	}
	d.health.check.Codes = items
	return strings.Join(items, ","), nil
}

// parseCodeClasses reads http_2xx,http_3xx,...
func parseCodeClasses(d *draft, value string) (string, error) {
	items, err := list(strings.ToLower(value))
	if err != nil {
		return "", err
	}
	var ranges []string
	for _, item := range items {
		digit, ok := strings.CutPrefix(item, "http_")
		if !ok || len(digit) != 3 || digit[1:] != "xx" || digit[0] < '1' || digit[0] > '5' {
			return "", fmt.Errorf("%q: expected http_2xx, http_3xx, http_4xx or http_5xx", item)
		}
		ranges = append(ranges, fmt.Sprintf("%c00-%c99", digit[0], digit[0]))
	}
	slices.Sort(ranges)
	return parseCodes(d, strings.Join(slices.Compact(ranges), ","))
}

// Default thresholds and times of a health check; the API has the same.
const (
	defaultHealthInterval, defaultHealthTimeout    = 2, 5
	defaultHealthyThreshold, defaultUnhealthyLimit = 3, 3
)

// finishHealth makes a health check of what is said, if one is wanted at all.
func (d *draft) finishHealth() {
	h := &d.health
	switched := h.on
	if switched == nil {
		first, second := h.ofTransport, h.ofHTTP
		if d.speaksHTTP() {
			first, second = second, first
		}
		if switched = first; switched == nil {
			switched = second
		}
	}
	if !ptr.Deref(switched, h.detailed) {
		return
	}
	check := h.check
	if check.Type == "" {
		check.Type = v1alpha1.HealthCheckTCP
		if !hasPort(d.service, corev1.ProtocolTCP) && hasPort(d.service, corev1.ProtocolUDP) {
			check.Type = v1alpha1.HealthCheckUDP
		}
	}
	d.healthPort(&check)
	asks := check.Type != v1alpha1.HealthCheckTCP && check.Type != v1alpha1.HealthCheckUDP
	if check.TimeoutSeconds == 0 {
		if check.TimeoutSeconds = h.connectTimeout; asks && h.requestTimeout > 0 || h.connectTimeout == 0 {
			check.TimeoutSeconds = h.requestTimeout
		}
		if check.TimeoutSeconds > 0 { // elsewhere, a timeout below the interval means the interval
			check.TimeoutSeconds = max(check.TimeoutSeconds, check.IntervalSeconds)
		}
	}
	for field, otherwise := range map[*int32]int32{
		&check.IntervalSeconds: defaultHealthInterval, &check.TimeoutSeconds: defaultHealthTimeout,
		&check.HealthyThreshold: defaultHealthyThreshold, &check.UnhealthyThreshold: defaultUnhealthyLimit,
	} {
		if *field == 0 {
			*field = otherwise
		}
	}
	if check.Path != "" && check.Type != v1alpha1.HealthCheckGRPC && asks && !strings.HasPrefix(check.Path, "/") {
		d.wrong("health-check-path", check.Path, "expected a path that begins with /")
	}
	d.HealthCheck = &check
}

// healthPort finds the port to probe, and checks that the Service has one for the type.
func (d *draft) healthPort(check *v1alpha1.HealthCheck) {
	transport := corev1.ProtocolTCP
	if check.Type == v1alpha1.HealthCheckUDP {
		transport = corev1.ProtocolUDP
	}
	var ports []string
	for _, port := range d.service.Spec.Ports {
		if port.Protocol != transport {
			continue
		}
		ports = append(ports, strconv.Itoa(int(port.Port)))
		// A port of the pods or nodes is reached through the Service's port in front of it.
		if want := d.health.connectPort; check.Port == 0 && want > 0 && (port.Port == want || port.NodePort == want || port.TargetPort.IntVal == want) {
			check.Port = port.Port
		}
	}
	switch {
	case len(ports) == 0 && len(d.service.Spec.Ports) > 0:
		d.wrong("health-check-type", strings.ToLower(string(check.Type)), "the Service has no %s port: expected one, or another type", transport)
	case check.Port != 0 && len(ports) > 0 && !slices.Contains(ports, strconv.Itoa(int(check.Port))):
		d.wrong("health-check-port", strconv.Itoa(int(check.Port)), "expected a %s port of the Service: %s", transport, alternatives(ports))
	case check.Port == 0 && d.health.connectPort > 0:
		d.warn(ReasonIgnored, "annotation %s \"%d\" has no effect: no port of the Service leads there, so that the health check only connects to port %s",
			d.KeyOf("health-check-port"), d.health.connectPort, ports[0])
		*check = v1alpha1.HealthCheck{
			Type: v1alpha1.HealthCheckTCP, IntervalSeconds: check.IntervalSeconds, TimeoutSeconds: check.TimeoutSeconds,
			HealthyThreshold: check.HealthyThreshold, UnhealthyThreshold: check.UnhealthyThreshold,
		}
		if transport == corev1.ProtocolUDP {
			check.Type = v1alpha1.HealthCheckUDP
		}
	}
}

// healthTypes returns the values of health-check-type, in order.
func healthTypes() []string { return slices.Sorted(maps.Keys(probes())) }
