// SPDX-License-Identifier: Apache-2.0

package settings

import "slices"

// ignored returns a row that is understood and has no effect here.
func ignored(level Level, expected, why string, parse parser, aliases []Alias, harmless ...string) Annotation {
	return Annotation{
		Aliases: aliases, Level: level, Verdict: Ignored, Expected: expected, Default: "none", Does: why, parse: parse, harmless: harmless,
	}
}

// refused returns a row that a Service cannot have here, because it would not do what its owner relies on.
func refused(level Level, expected, why string, parse parser, aliases []Alias, harmless ...string) Annotation {
	return Annotation{
		Aliases: aliases, Level: level, Verdict: Refused, Expected: expected, Default: "none", Does: why, parse: parse, harmless: harmless,
	}
}

// alibabaAddressRows are those about the address that have an effect and no own key.
func alibabaAddressRows() []Annotation {
	return []Annotation{
		{
			Aliases: alibaba("id", "loadbalancer-id"), Level: OfAddress, Verdict: Works, parse: parseIDOrAddress, sets: "id",
			Expected: "the `spec.id` of a VirtualIP, or an address", Default: "none",
			Does: "As `id`. An address is as good as its name.",
		},
		{
			Aliases: alibaba("vswitch-id"), Level: OfAddress, Verdict: Works, parse: parseSubnet, sets: "address-pool",
			Expected: "the name of an AddressPool", Default: "none",
			Does: "As `address-pool`, but a Service that has an address cannot be moved.",
		},
		{
			Aliases: alibaba("zone-maps"), Level: OfAddress, Verdict: Works, parse: parseZoneMaps, sets: "zone-maps",
			Expected: "zone:pool or zone:pool:IPv4 address, separated by commas", Default: "none",
			Does: "The address comes from the pool of the first zone; only nodes of these zones announce it.",
		},
		{
			Aliases: alibaba("master-zoneid"), Level: OfAddress, Verdict: Works, parse: zone(func(d *draft) *string { return &d.firstZone }),
			sets: "master-zoneid", Expected: "a zone", Default: "none", Does: "The first of `zones`.",
		},
		{
			Aliases: alibaba("slave-zoneid"), Level: OfAddress, Verdict: Works, parse: zone(func(d *draft) *string { return &d.secondZone }),
			sets: "slave-zoneid", Expected: "a zone", Default: "none", Does: "The second of `zones`.",
		},
		{
			Aliases: alibaba("preserve-lb-on-delete"), Level: OfAddress, Verdict: Works, parse: parsePreserve, sets: "preserve-on-delete",
			Expected: "anything; off and false mean off, with a warning", Default: "off", Does: "As `preserve-on-delete`.",
		},
		{
			Aliases: alibaba("connection-drain"), Level: OfPorts, Verdict: Works, parse: optionalFlag(func(d *draft) **bool { return &d.drainOn }),
			sets: "connection-drain", Expected: "on or off", Default: "off", Does: "Switches `connection-drain-timeout` on.",
		},
		{
			Aliases: alibaba("connection-drain-timeout"), Level: OfPorts, Verdict: Works, sets: "connection-drain-timeout",
			parse:    number(10, 900, func(d *draft, n int64) { d.drainSeconds = &n }, "0"),
			Expected: "seconds, 10 to 900; 0 for the default", Default: "300", Does: "As `drain-timeout`, but 300 if it is not given.",
		},
	}
}

// alibabaInstanceRows are about the instance that a public cloud sells, of which there is none here.
func alibabaInstanceRows() []Annotation {
	const price, one = "nothing is bought here", "there is no instance with such an attribute here"
	row := func(suffix, expected, why string, parse parser, harmless ...string) Annotation {
		return ignored(OfAddress, expected, why, parse, alibaba(suffix), harmless...)
	}
	return []Annotation{
		row("type", "clb or nlb", "every address is announced alike", anything, "clb", "nlb"),
		row("force-override-listeners", "true", "a port that another Service has is never taken from it", anything, "false", "off"),
		ignored(OfAddress, "vpc or classic", one, anything, alibaba("network-type", "slb-network-type")),
		row("cross-zone-enabled", "on or off", "traffic goes to all endpoints; trafficDistribution of the Service is for that", onlyFlag, "on"),
		row("resource-group-id", "anything", one, anything),
		row("region", "anything", one, anything),
		row("modification-protection", "ConsoleProtection or NonProtection", one, oneOf("ConsoleProtection", "NonProtection")),
		row("external-ip-type", "eip", "there is no address in front of the address", anything),
		row("spec", "anything", price, anything),
		row("charge-type", "paybytraffic or paybybandwidth", price, oneOf("paybytraffic", "paybybandwidth")),
		row("instance-charge-type", "PayBySpec or PayByCLCU", price, oneOf("PayBySpec", "PayByCLCU")),
		row("bandwidth", "-1, or 1 to 5120", "the bandwidth of an address is not limited here", onlyNumber(1, 5120, "-1")),
		row("bandwidth-package-id", "anything", price, anything),
		row("security-group-ids", "anything", "access-control-allow and access-control-deny limit clients", anything),
		ignored(OfAddress, "anything", "DNS records are not made here; hostname puts a name in the status", anything,
			of(AlibabaCloud, "private-zone-name", "private-zone-id", "private-zone-record-name", "private-zone-record-ttl")),
		{
			Aliases: whole(AlibabaCloud, classKey), Level: OfController, Verdict: Works, parse: anything, sets: "class",
			Expected: "anything", Default: "none", Does: "The Service is another controller's and is left alone. What a Service has already stays until it is deleted.",
		},
		{
			Aliases: alibaba("tunnel-type"), Level: OfController, Verdict: Works, parse: anything, sets: "tunnel-type", asIs: true,
			Expected: "anything, or nothing", Default: "none", Does: "As `" + classKey + "`.",
		},
	}
}

// alibabaPortRows are about ports and connections.
func alibabaPortRows() []Annotation {
	const ends = "nothing here ends connections"
	row := func(suffix, expected, why string, parse parser, harmless ...string) Annotation {
		return ignored(OfPorts, expected, why, parse, alibaba(suffix), harmless...)
	}
	return []Annotation{
		{
			Aliases: alibaba("scheduler"), Level: OfPorts, Verdict: Works, parse: parseScheduler, sets: "scheduler",
			Expected: "rr, wrr, wlc, sch, tch or qch", Default: "rr",
			Does: "wrr with externalTrafficPolicy Local is as `bgp-link-bandwidth`, unless that is set. All others but rr are without effect, with a warning: kube-proxy chooses endpoints.",
		},
		{
			Aliases: alibaba("persistence-timeout"), Level: OfPorts, Verdict: Works, parse: parsePersistence, sets: "persistence-timeout",
			Expected: "seconds, 0 to 3600", Default: "0",
			Does: "Nothing by itself: where the Service's sessionAffinity differs, a warning says what to set. A node keeps the state, so with BGP it holds while the routers send a client to the same node.",
		},
		row("established-timeout", "seconds, 10 to 900; 0 for the default", "connections end by the kernel's time for all of a node", onlyNumber(10, 900, "0"), "0"),
		row("idle-timeout", "seconds, 1 to 900", ends, onlyNumber(1, 900, "0"), "0"),
		row("request-timeout", "seconds, 1 to 180", ends, onlyNumber(1, 180, "0"), "0"),
		row("cps", "0 to 1000000", "new connections are not limited here", onlyNumber(0, 1_000_000), "0"),
		refused(OfPorts, "on or off", "nothing here puts a PROXY header before connections, and pods that expect one fail without it: expected off",
			onlyFlag, alibaba("proxy-protocol"), "off"),
		row("ppv2-pvl-ep-id-enabled", "on or off", ends, onlyFlag, "off"),
		row("ppv2-pvl-eps-id-enabled", "on or off", ends, onlyFlag, "off"),
		row("ppv2-pvl-vpc-id-enabled", "on or off", ends, onlyFlag, "off"),
		refused(OfPorts, "first-last:port, separated by commas", "kube-proxy forwards no ranges of ports: expected each port in spec.ports",
			parsePortRange, alibaba("listener-port-range")),
	}
}

// alibabaHTTPRows are about what a proxy for HTTP and TLS does.
func alibabaHTTPRows() []Annotation {
	const tls, http = "nothing here ends TLS", "nothing here looks into requests"
	row := func(suffix, expected, why string, parse parser, harmless ...string) Annotation {
		return ignored(OfPorts, expected, why, parse, alibaba(suffix), harmless...)
	}
	return []Annotation{
		refused(OfPorts, "anything", tls+": expected the certificate in the pods or in an ingress controller", anything, alibaba("cert-id")),
		row("additional-cert-ids", "anything", tls, anything),
		row("domain-extensions", "anything", tls, anything),
		row("tls-cipher-policy", "tls_cipher_policy_1_0, _1_1, _1_2, _1_2_strict or _1_2_strict_with_1_3", tls, oneOf("tls_cipher_policy_1_0",
			"tls_cipher_policy_1_1", "tls_cipher_policy_1_2", "tls_cipher_policy_1_2_strict", "tls_cipher_policy_1_2_strict_with_1_3")),
		row("http2-enabled", "on or off", tls, onlyFlag, "off"),
		row("cacert", "on or off", tls, onlyFlag, "off"),
		row("cacert-id", "anything", tls, anything),
		row("alpn", "on or off", tls, onlyFlag, "off"),
		row("alpn-policy", "HTTP1Only, HTTP2Only, HTTP2Preferred or HTTP2Optional", tls,
			oneOf("HTTP1Only", "HTTP2Only", "HTTP2Preferred", "HTTP2Optional")),
		refused(OfPorts, "port:port, separated by commas", "nothing here redirects to HTTPS, and serving plain HTTP instead would surprise: expected an ingress controller to do it",
			parseForwardPort, alibaba("forward-port")),
		refused(OfPorts, "on or off", http+", so that nobody sets cookies: expected off, and sessionAffinity ClientIP or an ingress controller",
			onlyFlag, alibaba("sticky-session"), "off"),
		row("sticky-session-type", "insert or server", http, oneOf("insert", "server")),
		row("cookie-timeout", "seconds, 1 to 86400", http, onlyNumber(1, 86400)),
		row("cookie", "1 to 200 letters, digits, _ and -", http, parseCookie),
		row("xforwardedfor-proto", "on or off", http, onlyFlag, "off"),
		row("xforwardedfor-slbport", "on or off", http, onlyFlag, "off"),
		row("xforwardedfor-clientsrcport", "on or off", http, onlyFlag, "off"),
		row("health-check-http-version", "HTTP1.0 or HTTP1.1", "probes speak HTTP/1.1", oneOf("HTTP1.0", "HTTP1.1"), "http1.1"),
	}
}

// alibabaBackendRows are about where traffic goes.
func alibabaBackendRows() []Annotation {
	const weights = "kube-proxy gives all endpoints the same share"
	row := func(expected, why string, parse parser, aliases []Alias, harmless ...string) Annotation {
		return ignored(OfEndpoints, expected, why, parse, aliases, harmless...)
	}
	return []Annotation{
		{
			Aliases: alibaba("backend-label"), Level: OfEndpoints, Verdict: Works, parse: parseEqualities, sets: "nodes",
			Expected: "labels such as role=edge,rack=3", Default: "all nodes", Does: "As `nodes`: all of these labels are on the node.",
		},
		{
			Aliases: alibaba("preserve-client-ip"), Level: OfEndpoints, Verdict: Works, parse: parsePreserveClientIP, sets: "preserve-client-ip",
			Expected: "on or off", Default: "off", Does: "Nothing by itself: without externalTrafficPolicy Local, a warning says that it is needed.",
		},
		row("ecs or eni", "kube-proxy sends traffic straight to pods", anything, whole(AlibabaCloud, "service.beta.kubernetes.io/backend-type"), "ecs"),
		row("ipv4, ipv6 or dualstack", "the endpoints have the families of the Service", oneOf("ipv4", "ipv6", "dualstack"), alibaba("backend-ip-version")),
		refused(OfEndpoints, "group:port, separated by commas", "there are no server groups here: expected a Service without selector, and an EndpointSlice",
			anything, alibaba("vgroup-port")),
		row("0 to 100", weights, onlyNumber(0, 100), alibaba("weight")),
		row("0 to 100", weights, onlyNumber(0, 100), alibaba("default-weight"), "100"),
		row("on or off", weights, onlyFlag, alibaba("ignore-weight-update"), "off"),
		row("Ip or Instance", "kube-proxy sends traffic straight to pods", oneOf("Ip", "Instance"), alibaba("server-group-type")),
		row("true or false", "kube-proxy drains terminating endpoints", oneOf("true", "false"), alibaba("graceful-shutdown"), "true"),
	}
}

// otherRows are those of the other dialects that are not aliases of an own key.
func otherRows() []Annotation {
	return slices.Concat([]Annotation{
		{
			Aliases: of(MetalLB, "allow-shared-ip"), Level: OfAddress, Verdict: Works, parse: parseAnySharingKey, sets: "sharing-key",
			Expected: "up to 253 characters", Default: "no sharing", Does: "As `sharing-key`.",
		},
		ignored(OfAddress, "anything", "which pool an address is from stands in the VirtualIP", anything, of(MetalLB, "ip-allocated-from-pool"), ""),
	}, kubeVIPRows())
}

// kubeVIPRows are those of kube-vip that have no meaning here.
func kubeVIPRows() []Annotation {
	var rows []Annotation
	for _, name := range []struct{ suffix, why string }{
		{"loadbalancerHostname", "addresses are not asked for by DHCP here; fairlead.dev/hostname puts a name in the status"},
		{"vipHost", "kube-vip writes it; the VirtualIP names the node"},
		{"requestedIP", "kube-vip writes it"},
		{"hwaddr", "an address is announced with the interface's own hardware address"},
		{"egress", "egress is not changed"},
		{"flush-conntrack", "connections are not cut"},
	} {
		rows = append(rows, ignored(OfAddress, "anything", name.why, anything, of(KubeVIP, name.suffix)))
	}
	return rows
}
