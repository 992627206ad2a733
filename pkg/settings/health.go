// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
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

// What the API takes.
const maxHealthPath, maxHealthHost, maxHealthCodes = 255, 253, 16

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
	if len(value) > maxHealthPath || strings.ContainsAny(value, " \t\r\n") {
		return "", fmt.Errorf("expected a path such as /healthz, or the name of a service for gRPC: at most %d characters, without spaces", maxHealthPath)
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
	if len(value) > maxHealthHost || len(validation.IsDNS1123Subdomain(strings.ToLower(host))) > 0 {
		return "", fmt.Errorf("expected a DNS name such as www.example.com, with its port at most %d characters", maxHealthHost)
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
	items, err := distinct(value, "code", maxHealthCodes, func(item string) error {
		first, last, found := strings.Cut(item, "-")
		if !found {
			last = first
		}
		low, lowErr := parseNumber(first, 100, 599)
		high, highErr := parseNumber(last, 100, 599)
		if lowErr != nil || highErr != nil || high < low {
			return fmt.Errorf("%q: expected status codes such as 204 or 200-299", item)
		}
		return nil
	})
	if err != nil {
		return "", err
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
		if !ok || len(digit) != 3 || digit[1:] != "xx" || digit[0] < '2' || digit[0] > '5' {
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
	if h.on != nil && ptr.Deref(h.ofHTTP, *h.on) != *h.on {
		d.yields("health-check-flag", "health-check")
	}
	if h.on != nil && ptr.Deref(h.ofTransport, *h.on) != *h.on {
		d.yields("health-check-switch", "health-check")
	}
	if !ptr.Deref(switched, h.detailed) {
		return
	}
	check := h.check
	d.healthTarget(&check)
	d.healthRequest(&check)
	d.healthTimes(&check)
	d.HealthCheck = &check
}

// healthTarget finds the port to probe and, where that is not said, what is spoken there: HTTP on a port that is said to
// speak it. The Service must have a port for the type.
func (d *draft) healthTarget(check *v1alpha1.HealthCheck) {
	transport := corev1.ProtocolTCP
	if check.Type == v1alpha1.HealthCheckUDP || check.Type == "" && !hasPort(d.service, corev1.ProtocolTCP) && hasPort(d.service, corev1.ProtocolUDP) {
		transport = corev1.ProtocolUDP
	}
	var ports []string
	var speaking int32 // the first port that is said to speak HTTP
	for _, port := range d.service.Spec.Ports {
		if port.Protocol != transport {
			continue
		}
		ports = append(ports, strconv.Itoa(int(port.Port)))
		// A port of the pods or nodes is reached through the Service's port in front of it.
		if want := d.health.connectPort; check.Port == 0 && want > 0 && (port.Port == want || port.NodePort == want || port.TargetPort.IntVal == want) {
			check.Port = port.Port
		}
		if speaking == 0 && transport == corev1.ProtocolTCP && d.isHTTP(port.Port) {
			speaking = port.Port
		}
	}
	nowhere := check.Port == 0 && d.health.connectPort > 0
	switch {
	case len(ports) == 0 && len(d.service.Spec.Ports) > 0:
		d.wrong("health-check-type", strings.ToLower(string(check.Type)), "the Service has no %s port: expected one, or another type", transport)
	case check.Port != 0 && len(ports) > 0 && !slices.Contains(ports, strconv.Itoa(int(check.Port))):
		d.wrong("health-check-port", strconv.Itoa(int(check.Port)), "expected a %s port of the Service: %s", transport, alternatives(ports))
	case nowhere && len(ports) > 0:
		d.warn(ReasonIgnored, "annotation %s \"%d\" has no effect: no port of the Service leads there, so that the health check only connects to port %s",
			d.KeyOf("health-check-port"), d.health.connectPort, ports[0])
	}
	switch {
	case transport == corev1.ProtocolUDP:
		check.Type = v1alpha1.HealthCheckUDP
	case nowhere:
		check.Type = v1alpha1.HealthCheckTCP
	case check.Port == 0 && (check.Type == "" || check.Type == v1alpha1.HealthCheckHTTP):
		check.Port = speaking
	}
	if check.Type == "" {
		check.Type = v1alpha1.HealthCheckTCP
		if check.Port != 0 && d.isHTTP(check.Port) {
			check.Type = v1alpha1.HealthCheckHTTP
		}
	}
}

// healthRequest takes from a check what a probe of its type does not ask, with a warning, because who sets it relies on a
// probe that asks more.
func (d *draft) healthRequest(check *v1alpha1.HealthCheck) {
	http := check.Type == v1alpha1.HealthCheckHTTP || check.Type == v1alpha1.HealthCheckHTTPS
	names := http || check.Type == v1alpha1.HealthCheckGRPC
	for _, detail := range []struct {
		setting string
		unused  bool
		drop    func()
	}{
		{"health-check-path", check.Path != "" && !names, func() { check.Path = "" }},
		{"health-check-host", check.Host != "" && !names, func() { check.Host = "" }},
		{"health-check-method", check.Method != "" && !http, func() { check.Method = "" }},
		{"health-check-codes", len(check.Codes) > 0 && !http, func() { check.Codes = nil }},
	} {
		if detail.unused {
			d.warn(ReasonIgnored, "annotation %s has no effect: the health check is of type %s, which does not ask for it",
				d.KeyOf(detail.setting), strings.ToLower(string(check.Type)))
			detail.drop()
		}
	}
	if !http || check.Path == "" {
		return
	}
	if _, err := url.ParseRequestURI(check.Path); err != nil || check.Path[0] != '/' || strings.Contains(check.Path, "#") {
		d.wrong("health-check-path", check.Path, "expected a path that begins with / and can be asked for, such as /healthz or /healthz?full=1")
	}
}

// healthTimes fills in times and thresholds.
func (d *draft) healthTimes(check *v1alpha1.HealthCheck) {
	h := &d.health
	check.IntervalSeconds = cmp.Or(check.IntervalSeconds, defaultHealthInterval)
	check.HealthyThreshold = cmp.Or(check.HealthyThreshold, defaultHealthyThreshold)
	check.UnhealthyThreshold = cmp.Or(check.UnhealthyThreshold, defaultUnhealthyLimit)
	if own := check.TimeoutSeconds; own > 0 {
		if cmp.Or(h.connectTimeout, own) != own {
			d.yields("health-check-connect-timeout", "health-check-timeout")
		}
		if cmp.Or(h.requestTimeout, own) != own {
			d.yields("health-check-request-timeout", "health-check-timeout")
		}
		return
	}
	first, second := h.requestTimeout, h.connectTimeout
	if check.Type == v1alpha1.HealthCheckTCP || check.Type == v1alpha1.HealthCheckUDP {
		first, second = second, first
	}
	check.TimeoutSeconds = defaultHealthTimeout
	if said := cmp.Or(first, second); said > 0 { // elsewhere, a timeout below the interval means the interval
		check.TimeoutSeconds = max(said, check.IntervalSeconds)
	}
}

// healthTypes returns the values of health-check-type, in order.
func healthTypes() []string { return slices.Sorted(maps.Keys(probes())) }
