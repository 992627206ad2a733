// SPDX-License-Identifier: Apache-2.0

package settings

// healthRows are about the probe by which each node finds out whether it may announce.
func healthRows() []Annotation {
	row := func(name, expected, otherwise, does string, parse parser, aliases ...Alias) Annotation {
		return Annotation{
			Name: name, Aliases: aliases, Level: OfHealth, Verdict: Works, Expected: expected, Default: otherwise, Does: does, parse: parse,
		}
	}
	return []Annotation{
		row("health-check", "on or off", "on where another health-check annotation is set, otherwise off",
			"Each node probes the Service on the way that its traffic takes, and announces only while that works. Where it works on no node, all announce.",
			optionalFlag(func(d *draft) **bool { return &d.health.on })),
		row("health-check-type", "tcp, http, https, udp or grpc", "http for a port that is http in `protocol-port`, which is then the one to probe; otherwise tcp, or udp where the Service has no TCP port",
			"What the probe speaks. A path, host, method or codes that it does not ask for have no effect, with a warning.", healthType(healthTypes()...)),
		row("health-check-port", "a port of the Service", "the first that the type can probe",
			"The port to probe.", healthNumber(1, 65535, func(h *healthDraft) *int32 { return &h.check.Port })),
		row("health-check-path", "a path, or the name of a service for grpc", "/",
			"What is asked for.", detail(parseHealthPath), alibaba("health-check-uri")...),
		row("health-check-host", "a DNS name", "the address",
			"The Host header, the server name and the authority.", detail(parseHealthHost), alibaba("health-check-domain")...),
		row("health-check-method", "GET or HEAD", "GET",
			"The method of the request.", detail(parseHealthMethod), alibaba("health-check-method")...),
		row("health-check-codes", "codes and ranges such as 200-299,404", "200-399",
			"The status codes that pass.", detail(parseCodes)),
		row("health-check-interval", "seconds, 1 to 300", "2",
			"Time between probes.", healthNumber(1, 300, func(h *healthDraft) *int32 { return &h.check.IntervalSeconds })),
		row("health-check-timeout", "seconds, 1 to 300", "5",
			"Time that a probe may take.", healthNumber(1, 300, func(h *healthDraft) *int32 { return &h.check.TimeoutSeconds })),
		row("health-check-healthy-threshold", "1 to 10", "3",
			"Probes in a row that must pass.", healthNumber(1, 10, func(h *healthDraft) *int32 { return &h.check.HealthyThreshold })),
		row("health-check-unhealthy-threshold", "1 to 10", "3",
			"Probes in a row that must fail.", healthNumber(1, 10, func(h *healthDraft) *int32 { return &h.check.UnhealthyThreshold })),
	}
}

// alibabaHealthRows are those whose values differ from the own ones'.
func alibabaHealthRows() []Annotation {
	row := func(suffix, sets, expected, otherwise, does string, parse parser) Annotation {
		return Annotation{
			Aliases: alibaba(suffix), sets: sets, Level: OfHealth, Verdict: Works,
			Expected: expected, Default: otherwise, Does: does, parse: parse,
		}
	}
	const unset = "0"
	return []Annotation{
		row("health-check-flag", "health-check-flag", "on or off", "as `health-check`",
			"As `health-check`, for a Service with an http port in `protocol-port`; for others where `health-check-switch` is not set.",
			optionalFlag(func(d *draft) **bool { return &d.health.ofHTTP })),
		row("health-check-switch", "health-check-switch", "on or off", "as `health-check`",
			"As `health-check`, for a Service without an http port; for others where `health-check-flag` is not set.",
			optionalFlag(func(d *draft) **bool { return &d.health.ofTransport })),
		row("health-check-type", "health-check-type", "tcp, http or udp", "as the own", "As the own annotation.", healthType("tcp", "http", "udp")),
		row("health-check-connect-port", "health-check-port", "1 to 65535; 0 and -520 for the default", "the first port of the Service",
			"A port of the Service, a targetPort or nodePort: the Service's port in front of it is probed. Where no port leads there, the probe only connects, with a warning.",
			healthNumber(1, 65535, func(h *healthDraft) *int32 { return &h.connectPort }, unset, "-520")),
		row("health-check-httpcode", "health-check-codes", "http_2xx, http_3xx, http_4xx and http_5xx, separated by commas", "200-399",
			"As `health-check-codes`.", detail(parseCodeClasses)),
		row("health-check-interval", "health-check-interval", "seconds, 1 to 50; 0 for the default", "2",
			"As the own annotation.", healthNumber(1, 50, func(h *healthDraft) *int32 { return &h.check.IntervalSeconds }, unset)),
		row("health-check-connect-timeout", "health-check-connect-timeout", "seconds, 1 to 300; 0 for the default", "5",
			"As `health-check-timeout`, for probes that only connect; below the interval, the interval is taken.",
			healthNumber(1, 300, func(h *healthDraft) *int32 { return &h.connectTimeout }, unset)),
		row("health-check-timeout", "health-check-request-timeout", "seconds, 1 to 300; 0 for the default", "5",
			"As the own annotation, for probes that send a request; below the interval, the interval is taken.",
			healthNumber(1, 300, func(h *healthDraft) *int32 { return &h.requestTimeout }, unset)),
		row("healthy-threshold", "health-check-healthy-threshold", "2 to 10; 0 for the default", "3",
			"As `health-check-healthy-threshold`.", healthNumber(2, 10, func(h *healthDraft) *int32 { return &h.check.HealthyThreshold }, unset)),
		row("unhealthy-threshold", "health-check-unhealthy-threshold", "2 to 10; 0 for the default", "3",
			"As `health-check-unhealthy-threshold`.", healthNumber(2, 10, func(h *healthDraft) *int32 { return &h.check.UnhealthyThreshold }, unset)),
	}
}
