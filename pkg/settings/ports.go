// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// portProtocol is an item of protocol-port: what is spoken on a port of the Service.
type portProtocol struct {
	protocol string // in lower case
	port     int32
}

// The protocols of protocol-port.
const (
	protocolTCP    = "tcp"
	protocolUDP    = "udp"
	protocolSCTP   = "sctp"
	protocolHTTP   = "http"
	protocolHTTPS  = "https"
	protocolTCPSSL = "tcpssl"
)

// parseProtocolPort reads tcp:53,http:80,... as a whole: a bad item is wrong whether or not a port has to walk past it.
func parseProtocolPort(d *draft, value string) (string, error) {
	items, err := list(value)
	if err != nil {
		return "", err
	}
	known := []string{protocolTCP, protocolUDP, protocolSCTP, protocolHTTP, protocolHTTPS, protocolTCPSSL}
	d.protocols = nil
	var texts []string
	for _, item := range items {
		name, number, _ := strings.Cut(item, ":")
		one := portProtocol{protocol: strings.ToLower(strings.TrimSpace(name))}
		n, err := parseNumber(strings.TrimSpace(number), 1, 65535)
		if err != nil || !slices.Contains(known, one.protocol) {
			return "", fmt.Errorf("%q: expected protocol:port, such as http:80, with protocol %s", item, alternatives(known))
		}
		one.port = int32(n)
		if slices.ContainsFunc(d.protocols, func(other portProtocol) bool { return other.port == one.port && other.transport() == one.transport() }) {
			return "", fmt.Errorf("port %d is there twice", one.port)
		}
		d.protocols = append(d.protocols, one)
		texts = append(texts, one.protocol+":"+strconv.Itoa(int(one.port)))
	}
	return strings.Join(texts, ","), nil
}

// transport returns the protocol that a Service's port must have.
func (p portProtocol) transport() corev1.Protocol {
	switch p.protocol {
	case protocolUDP:
		return corev1.ProtocolUDP
	case protocolSCTP:
		return corev1.ProtocolSCTP
	}
	return corev1.ProtocolTCP
}

// finishPorts holds the protocols against the Service's ports. HTTP passes through as TCP; what needs the load balancer
// to end TLS is refused.
func (d *draft) finishPorts() {
	var passed []string
	for _, one := range d.protocols {
		item := one.protocol + ":" + strconv.Itoa(int(one.port))
		var transports []corev1.Protocol
		for _, port := range d.service.Spec.Ports {
			if port.Port == one.port {
				transports = append(transports, port.Protocol)
			}
		}
		switch {
		case len(transports) == 0:
			d.warn(ReasonAdvice, "annotation %s: %s has no effect: the Service has no port %d", d.KeyOf("protocol-port"), item, one.port)
		case !slices.Contains(transports, one.transport()):
			d.wrong("protocol-port", item, "port %d of the Service is %v: expected that protocol", one.port, transports[0])
		case one.protocol == protocolHTTPS || one.protocol == protocolTCPSSL:
			d.wrong("protocol-port", item, "nothing here ends TLS: expected tcp:%d, and the certificate in the pods or in an ingress controller", one.port)
		case one.protocol == protocolHTTP:
			passed = append(passed, item)
		}
	}
	if len(passed) > 0 {
		d.warn(ReasonIgnored, "annotation %s: %s passes through as TCP: nothing here looks into requests",
			d.KeyOf("protocol-port"), strings.Join(passed, ", "))
	}
}

// speaksHTTP tells whether a port is one that speaks HTTP.
func (d *draft) speaksHTTP() bool {
	return slices.ContainsFunc(d.protocols, func(p portProtocol) bool { return p.protocol == protocolHTTP || p.protocol == protocolHTTPS })
}

// isHTTP tells whether a port is said to speak HTTP.
func (d *draft) isHTTP(port int32) bool {
	return slices.Contains(d.protocols, portProtocol{protocolHTTP, port})
}

// parseScheduler reads how connections are spread. kube-proxy spreads them, the same way for all Services.
func parseScheduler(d *draft, value string) (string, error) {
	canonical, err := oneOf("rr", "wrr", "wlc", "sch", "tch", "qch")(d, value)
	switch {
	case err != nil || canonical == "rr":
	case canonical == "wrr" && d.service.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal:
		if d.Address.LinkBandwidth == 0 {
			d.Address.LinkBandwidth = 1
		}
	case canonical == "wrr":
		d.ignored("with externalTrafficPolicy Cluster all endpoints get the same share")
	default:
		d.ignored("kube-proxy chooses the endpoint, by one rule for the whole cluster")
	}
	return canonical, err
}

// parsePortRange checks start-end:port,...: it is refused, but a value that cannot be one is told what it lacks.
func parsePortRange(_ *draft, value string) (string, error) {
	items, err := list(value)
	if err != nil {
		return "", err
	}
	for _, item := range items {
		span, port, ok := strings.Cut(item, ":")
		first, last, both := strings.Cut(span, "-")
		low, lowErr := parseNumber(first, 1, 65535)
		high, highErr := parseNumber(last, 1, 65535)
		if _, err := parseNumber(port, 1, 65535); !ok || !both || lowErr != nil || highErr != nil || low >= high || err != nil {
			return "", fmt.Errorf("%q: expected first-last:port, such as 1000-2000:80", item)
		}
	}
	return value, nil
}

// parseForwardPort checks 80:443,...: it is refused, but a value that cannot be one is told what it lacks.
func parseForwardPort(_ *draft, value string) (string, error) {
	items, err := list(value)
	if err != nil {
		return "", err
	}
	for _, item := range items {
		from, to, _ := strings.Cut(item, ":")
		_, fromErr := parseNumber(from, 1, 65535)
		if _, err := parseNumber(to, 1, 65535); err != nil || fromErr != nil {
			return "", fmt.Errorf("%q: expected port:port, such as 80:443", item)
		}
	}
	return value, nil
}

// parsePersistence reads the seconds for which a client stays with an endpoint.
func parsePersistence(d *draft, value string) (string, error) {
	return number(0, 3600, func(d *draft, n int64) { d.affinity = &n })(d, value)
}

// parseCookie checks the name of a cookie.
func parseCookie(_ *draft, value string) (string, error) {
	clean := strings.Trim(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
	if !clean || len(value) > 200 {
		return "", fmt.Errorf("expected 1 to 200 letters, digits, '_' and '-'")
	}
	return value, nil
}

// parsePreserveClientIP reads a switch that the Service's spec decides.
func parsePreserveClientIP(d *draft, value string) (string, error) {
	return flag(func(d *draft) *bool { return &d.preserveClientIP })(d, value)
}
