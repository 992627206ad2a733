// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"net/netip"
	"slices"
)

const cidrList = "CIDRs, addresses, or names of access lists in the cloud config, separated by commas"

// addressRows are about which address a Service gets, and what is kept of it.
func addressRows() []Annotation {
	return []Annotation{
		{
			Name: "address-pool", Level: OfAddress, Verdict: Works, parse: parsePools,
			Aliases:  of(MetalLB, "address-pool"),
			Expected: "names of AddressPools, separated by commas", Default: "any pool that the Service may use",
			Does: "The pools to take an address from, in this order.",
		},
		{
			Name: "addresses", Level: OfAddress, Verdict: Works, parse: parseAddresses,
			Aliases:  slices.Concat(alibaba("ip"), of(MetalLB, "loadBalancerIPs"), of(KubeVIP, "loadbalancerIPs")),
			Expected: "an IP address, or one of each family, separated by a comma", Default: "`spec.loadBalancerIP`, or any",
			Does: "The addresses wanted. The Service waits until it gets them; it never gets others.",
		},
		{
			Name: "address-range", Level: OfAddress, Verdict: Works, parse: parseRange,
			Expected: "a CIDR, or first-last", Default: "the whole pool",
			Does: "The address comes from this part of a pool.",
		},
		{
			Name: "addresses-per-family", Level: OfAddress, Verdict: Works,
			parse:    number(1, maxAddressesPerFamily, func(d *draft, n int64) { d.AddressesPerFamily = int(n) }),
			Expected: "1 to 16", Default: "1",
			Does: "How many addresses of each IP family the Service gets.",
		},
		{
			Name: "address-type", Level: OfAddress, Verdict: Works, parse: text(func(d *draft) *string { return &d.addressType }),
			Aliases:  alibaba("address-type"),
			Expected: "a key of `addressTypes` in the cloud config", Default: "`defaultAddressType` in the cloud config",
			Does: "The address comes from the pools that the cloud config lists under this type.",
		},
		{
			Name: "ipv6-address-type", Level: OfAddress, Verdict: Works, parse: text(func(d *draft) *string { return &d.ipv6AddressType }),
			Aliases:  alibaba("ipv6-address-type"),
			Expected: "a key of `addressTypes` in the cloud config", Default: "as `address-type`",
			Does: "The same for the IPv6 address.",
		},
		{
			Name: "ip-version", Level: OfAddress, Verdict: Works, parse: parseIPVersion,
			Aliases:  alibaba("ip-version"),
			Expected: "ipv4, ipv6 or dualstack", Default: "as `spec.ipFamilies` and `spec.ipFamilyPolicy` say",
			Does: "The families to have addresses of. They must be in `spec.ipFamilies`, because kube-proxy drops addresses of others.",
		},
		{
			Name: "sharing-key", Level: OfAddress, Verdict: Works, parse: parseSharingKey,
			Expected: "1 to 63 letters, digits, `-`, `_` and `.`", Default: "no sharing",
			Does: "Services with the same key use one address, on different ports.",
		},
		{
			Name: "id", Level: OfAddress, Verdict: Works, parse: parseID,
			Expected: "the `spec.id` of a VirtualIP", Default: "none",
			Does: "The Service uses this reserved address, alone or beside others on other ports. A Service that has an address cannot be moved to another `id`.",
		},
		{
			Name: "display-name", Level: OfAddress, Verdict: Works, parse: parseDisplayName,
			Aliases:  alibaba("name"),
			Expected: "up to 253 characters", Default: "none",
			Does: "A name for people, in the VirtualIP.",
		},
		{
			Name: "tags", Level: OfAddress, Verdict: Works, parse: parseTags,
			Aliases:  alibaba("additional-resource-tags"),
			Expected: "name=value pairs, separated by commas, up to 64", Default: "none",
			Does: "Tags for people, in the VirtualIP. Services that share an address each have their own.",
		},
		{
			Name: "delete-protection", Level: OfAddress, Verdict: Works, parse: flag(func(d *draft) *bool { return &d.DeleteProtection }),
			Aliases:  alibaba("delete-protection"),
			Expected: "on or off", Default: "off",
			Does: "The API server refuses to delete the VirtualIP by hand. Deleting the Service still releases it.",
		},
		{
			Name: "preserve-on-delete", Level: OfAddress, Verdict: Works, parse: flag(func(d *draft) *bool { return &d.PreserveOnDelete }),
			Expected: "on or off", Default: "off",
			Does: "When the Service is deleted, its address stays reserved for one of the same namespace and name, until somebody deletes the VirtualIP.",
		},
	}
}

// announceRows are about the address as a whole: who announces it, how, and under which name.
func announceRows() []Annotation {
	return []Annotation{
		{
			Name: "announce", Level: OfAddress, Verdict: Works, parse: parseAnnounce,
			Expected: "l2, bgp or both", Default: "as the pool says",
			Does: "How the address is announced, among the ways that the pool has.",
		},
		{
			Name: "interfaces", Level: OfAddress, Verdict: Works, parse: parseInterfaces,
			Aliases:  of(KubeVIP, "serviceInterface"),
			Expected: "names of interfaces or globs such as eth*, separated by commas", Default: "the pool's",
			Does: "The interfaces on which the address is announced by ARP and NDP.",
		},
		{
			Name: "nodes", Level: OfAddress, Verdict: Works, parse: parseNodes,
			Expected: "a label selector such as edge=true,zone in (a,b)", Default: "all that the pool selects",
			Does: "Only these nodes announce. Where it selects none, the address stays assigned and nobody announces it.",
		},
		{
			Name: "zones", Level: OfAddress, Verdict: Works, parse: parseZones,
			Expected: "up to 3 values of the node label topology.kubernetes.io/zone, separated by commas", Default: "all alike",
			Does: "Nodes of these zones are preferred, in this order: on layer 2 by whom the address goes to when it has no owner or leaves it, and in BGP by local preference (10 less) and a path that is longer by one for each step.",
		},
		{
			Name: "leave-on-cordon", Level: OfAddress, Verdict: Works, parse: optionalFlag(func(d *draft) **bool { return &d.Address.LeaveOnCordon }),
			Aliases:  alibaba("remove-unscheduled-backend"),
			Expected: "on or off", Default: "`nodes.leaveOnCordon` in the cloud config",
			Does: "A cordoned node gives the address away, as a drained node does.",
		},
		{
			Name: "bgp-peers", Level: OfAddress, Verdict: Works, parse: parsePeers,
			Expected: "names of BGPPeers, separated by commas", Default: "the pool's",
			Does: "The peers to announce to.",
		},
		{
			Name: "bgp-communities", Level: OfAddress, Verdict: Works, parse: parseCommunities,
			Expected: "communities such as 64512:100, 64512:1:2 or no-export, separated by commas", Default: "the pool's",
			Does: "The communities of the route.",
		},
		{
			Name: "bgp-local-preference", Level: OfAddress, Verdict: Works, parse: attribute(func(d *draft) **uint32 { return &d.Address.LocalPreference }),
			Expected: "0 to 4294967295", Default: "the pool's",
			Does: "The local preference of the route, for iBGP peers.",
		},
		{
			Name: "bgp-med", Level: OfAddress, Verdict: Works, parse: attribute(func(d *draft) **uint32 { return &d.Address.MED }),
			Expected: "0 to 4294967295", Default: "the pool's",
			Does: "The multi-exit discriminator of the route.",
		},
		{
			Name: "bgp-as-path-prepend", Level: OfAddress, Verdict: Works,
			parse:    number(1, 16, func(d *draft, n int64) { d.Address.Prepend = int32(n) }),
			Expected: "1 to 16", Default: "the pool's",
			Does: "How many times the local ASN is put before the path once more, for external peers.",
		},
		{
			Name: "bgp-link-bandwidth", Level: OfAddress, Verdict: Works,
			parse:    number(1, 100, func(d *draft, n int64) { d.Address.LinkBandwidth = int32(n) }),
			Expected: "1 to 100", Default: "the pool's",
			Does: "With externalTrafficPolicy Local: the link bandwidth in Mbit/s that a node sends for each of its ready endpoints, by which routers share out traffic.",
		},
		{
			Name: "hostname", Level: OfAddress, Verdict: Works, parse: parseHostname,
			Aliases:  alibaba("hostname"),
			Expected: "a DNS name in lower case", Default: "none",
			Does: "Stands beside the address in the status of the Service.",
		},
	}
}

// portRows are about the Service's ports and its connections.
func portRows() []Annotation {
	return []Annotation{
		{
			Name: "protocol-port", Level: OfPorts, Verdict: Works, parse: parseProtocolPort,
			Aliases:  alibaba("protocol-port"),
			Expected: "protocol:port, separated by commas; protocol tcp, udp, sctp or http", Default: "the protocols of `spec.ports`",
			Does: "Must agree with `spec.ports`. http passes through as TCP, with a warning; https and tcpssl are refused, because nothing here ends TLS.",
		},
		{
			Name: "drain-timeout", Level: OfPorts, Verdict: Works,
			parse:    number(0, 3600, func(d *draft, n int64) { d.DrainTimeout = seconds(n) }),
			Expected: "seconds, 0 to 3600", Default: "10",
			Does: "How long a draining node goes on announcing the address by BGP as the last resort, before it withdraws. Connections are forwarded to their end in any case.",
		},
	}
}

// accessRows are about who may reach the Service.
func accessRows() []Annotation {
	return []Annotation{
		{
			Name: "access-control-allow", Level: OfPorts, Verdict: Works, Expected: cidrList, Default: "all",
			parse: networks(func(d *draft, all []netip.Prefix) { d.access.allow, d.access.allowing = all, true }),
			Does:  "Only these clients reach the address. Where `spec.loadBalancerSourceRanges` is set too, a client must be in both.",
		},
		{
			Name: "access-control-deny", Level: OfPorts, Verdict: Works, Expected: cidrList, Default: "none",
			parse: networks(func(d *draft, all []netip.Prefix) { d.access.deny = append(d.access.deny, all...) }),
			Does:  "These clients do not reach the address, allowed or not.",
		},
		{
			Aliases: alibaba("acl-status"), Level: OfPorts, Verdict: Works, parse: optionalFlag(func(d *draft) **bool { return &d.access.on }),
			sets: "acl-status", Expected: "on or off", Default: "off",
			Does: "Switches `acl-id` on, which limits clients as `access-control-allow` or `access-control-deny` does.",
		},
		{
			Aliases: alibaba("acl-id"), Level: OfPorts, Verdict: Works, parse: parseACLNames,
			sets: "acl-id", Expected: "names of `accessLists` in the cloud config, separated by commas", Default: "none",
			Does: "The clients meant. A list to allow that has nothing in it allows nobody, unlike in the public cloud.",
		},
		{
			Aliases: alibaba("acl-type"), Level: OfPorts, Verdict: Works, parse: parseACLType,
			sets: "acl-type", Expected: "white or black", Default: "none; needed with `acl-status`",
			Does: "Whether the clients of `acl-id` are those to allow or those to deny.",
		},
	}
}
