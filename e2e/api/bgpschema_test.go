// SPDX-License-Identifier: Apache-2.0

package api

import "testing"

func TestBGPAnnouncementSchema(t *testing.T) {
	try(t, "AddressPool", "addresspools", []example{
		{"every well-known community", `
spec:
  addresses: [10.0.0.0/24]
  announce:
  - bgp: {communities: [graceful-shutdown, accept-own, accept-own-nexthop, llgr-stale, no-llgr, blackhole, no-export,
          no-advertise, no-export-subconfed, local-as, no-peer]}`, nil},
		{
			"the greatest numbers", `spec: {addresses: [10.0.0.0/24], announce: [{bgp: {communities: ["65535:65535", "4294967295:4294967295:0"]}}]}`,
			nil,
		},
		{
			"community", `spec: {addresses: [10.0.0.0/24], announce: [{bgp: {communities: ["1:2:3:4"]}}]}`,
			[]string{"spec.announce[0].bgp.communities[0]", "1:2:3:4", "two numbers up to 65535"},
		},
		{
			"community of 17 bits", `spec: {addresses: [10.0.0.0/24], announce: [{bgp: {communities: ["64512:1", "65536:1"]}}]}`,
			[]string{"spec.announce[0].bgp.communities[1]", "65536:1", "two numbers up to 65535"},
		},
		{
			"large community of 33 bits", `spec: {addresses: [10.0.0.0/24], announce: [{bgp: {communities: ["1:2:4294967296"]}}]}`,
			[]string{"spec.announce[0].bgp.communities[0]", "1:2:4294967296", "three up to 4294967295"},
		},
		{
			"community without meaning", `spec: {addresses: [10.0.0.0/24], announce: [{bgp: {communities: [noexport]}}]}`,
			[]string{"spec.announce[0].bgp.communities[0]", "noexport", "a well-known name such as no-export"},
		},
		{
			"prepend", `spec: {addresses: [10.0.0.0/24], announce: [{bgp: {asPathPrepend: 17}}]}`,
			[]string{"spec.announce[0].bgp.asPathPrepend", "17", "16"},
		},
		{
			"link bandwidth", `spec: {addresses: [10.0.0.0/24], announce: [{bgp: {linkBandwidthPerEndpoint: 101}}]}`,
			[]string{"spec.announce[0].bgp.linkBandwidthPerEndpoint", "101", "100"},
		},
		{
			"aggregation", `spec: {addresses: [10.0.0.0/24], announce: [{bgp: {aggregationLength: {ipv4: 33}}}]}`,
			[]string{"spec.announce[0].bgp.aggregationLength.ipv4", "33", "less than or equal to 32"},
		},
	})
}

func TestBGPPeerSchema(t *testing.T) {
	try(t, "BGPPeer", "bgppeers", []example{
		{"least", `spec: {peerAddress: 10.0.0.1, peerASN: 64512, localASN: 64513}`, nil},
		{"unnumbered", `spec: {peerInterface: eth0, peerASN: 4294967295, localASN: 1}`, nil},
		{"everything set", `
spec:
  peerAddress: "fd00::1"
  peerASN: 64512
  localASN: 64513
  sourceAddress: "fd00::2"
  port: 1179
  holdTime: 9s
  keepalive: 3s
  connectRetry: 5s
  ebgpMultiHop: 1
  passwordSecret: fairlead-bgp-passwords
  passwordKey: tor-a
  bfd: {interval: 50ms, multiplier: 3}
  gracefulRestart: {restartTime: 120s, longLivedStaleTime: 1h}
  nodeSelector: {matchLabels: {rack: "1"}}`, nil},
		{"default gateway", `spec: {peerDiscovery: DefaultGatewayIPv6, peerASN: 64512, localASN: 64513}`, nil},
		{"ASN of the node", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASNFrom: {nodeAnnotation: fairlead.dev/bgp-local-asn}}`, nil},
		{"more than one hop away", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASN: 1, ebgpMultiHop: 2}`, nil},
		{"shortest times", `spec: {peerAddress: 169.254.0.1, peerASN: 1, localASN: 1, holdTime: 3s, keepalive: 1s, connectRetry: 2s}`, nil},
		{
			"source for the gateway",
			`spec: {peerDiscovery: DefaultGatewayIPv4, sourceAddress: 10.0.0.2, peerASN: 1, localASN: 1}`, nil,
		},
	})
}

// TestBGPPeerSchemaRefuses: what says who the peer is, and who speaks to it.
func TestBGPPeerSchemaRefuses(t *testing.T) {
	try(t, "BGPPeer", "bgppeers", []example{
		{"no peer", `spec: {peerASN: 1, localASN: 1}`, []string{"spec", "exactly one of peerAddress, peerInterface and peerDiscovery"}},
		{
			"two peers", `spec: {peerAddress: 10.0.0.1, peerInterface: eth0, peerASN: 1, localASN: 1}`,
			[]string{"spec", "exactly one of peerAddress, peerInterface and peerDiscovery"},
		},
		{"no AS numbers", `spec: {peerAddress: 10.0.0.1}`, []string{"spec.peerASN", "Required"}},
		{"no local AS number", `spec: {peerAddress: 10.0.0.1, peerASN: 1}`, []string{"spec", "localASN or localASNFrom must be set"}},
		{
			"local AS number from two places", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASNFrom: {nodeAnnotation: a, nodeLabel: b}}`,
			[]string{"spec.localASNFrom", "exactly one of nodeAnnotation and nodeLabel"},
		},
		{
			"two ways to find the peer", `spec: {peerAddress: 10.0.0.1, peerDiscovery: DefaultGatewayIPv4, peerASN: 1, localASN: 1}`,
			[]string{"spec", "exactly one of peerAddress, peerInterface and peerDiscovery"},
		},
		{"discovery", `spec: {peerDiscovery: Any, peerASN: 1, localASN: 1}`, []string{"spec.peerDiscovery", "Any", `"DefaultGatewayIPv4", "DefaultGatewayIPv6"`}},
		{
			"password key without a Secret", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASN: 1, passwordKey: tor-a}`,
			[]string{"spec", "passwordKey needs passwordSecret"},
		},
		{
			"long-lived stale time", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASN: 1, gracefulRestart: {longLivedStaleTime: 0s}}`,
			[]string{"spec.gracefulRestart.longLivedStaleTime", "between 1s and 16777215s"},
		},
		{"AS 0", `spec: {peerAddress: 10.0.0.1, peerASN: 0, localASN: 1}`, []string{"spec.peerASN", "greater than or equal to 1"}},
		{"AS of 33 bits", `spec: {peerAddress: 10.0.0.1, peerASN: 4294967296, localASN: 1}`, []string{"spec.peerASN", "4294967295"}},
		{"peer address", `spec: {peerAddress: tor-a, peerASN: 1, localASN: 1}`, []string{"spec.peerAddress", "tor-a", "must be an IP address"}},
		{
			"source address", `spec: {peerAddress: 10.0.0.1, sourceAddress: eth0, peerASN: 1, localASN: 1}`,
			[]string{"spec.sourceAddress", "eth0", "must be an IP address"},
		},
		{
			"link-local peer", `spec: {peerAddress: "fe80::1", peerASN: 1, localASN: 1}`,
			[]string{"spec.peerAddress", "fe80::1", "must not be link-local: peerInterface"},
		},
		{
			"source of another family", `spec: {peerAddress: 10.0.0.1, sourceAddress: "fd00::2", peerASN: 1, localASN: 1}`,
			[]string{"spec", "sourceAddress must be of the peer's family"},
		},
		{
			"source of another family than the gateway", `spec: {peerDiscovery: DefaultGatewayIPv6, sourceAddress: 10.0.0.2, peerASN: 1, localASN: 1}`,
			[]string{"spec", "sourceAddress must be of the peer's family"},
		},
		{
			"IPv4 source of an unnumbered session", `spec: {peerInterface: eth0, sourceAddress: 10.0.0.2, peerASN: 1, localASN: 1}`,
			[]string{"spec", "sourceAddress must be of the peer's family"},
		},
	})
}

// TestBGPPeerSchemaRefusesSettings: what says how the session is kept.
func TestBGPPeerSchemaRefusesSettings(t *testing.T) {
	try(t, "BGPPeer", "bgppeers", []example{
		{"port", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASN: 1, port: 65536}`, []string{"spec.port", "65536", "65535"}},
		{
			"hold time too short", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASN: 1, holdTime: 2s}`,
			[]string{"spec.holdTime", "between 3s and 65535s"},
		},
		{
			"no hold time", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASN: 1, holdTime: 0s}`,
			[]string{"spec.holdTime", "between 3s and 65535s"},
		},
		{
			"keepalive as long as the default hold time", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASN: 1, keepalive: 90s}`,
			[]string{"spec", "keepalive must be shorter than holdTime, which is 90s"},
		},
		{
			"BFD over several hops", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASN: 1, ebgpMultiHop: 2, bfd: {}}`,
			[]string{"spec", "bfd is for peers on the same segment"},
		},
		{
			"keepalive as long as the hold time", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASN: 1, holdTime: 9s, keepalive: 9s}`,
			[]string{"spec", "keepalive must be shorter than holdTime"},
		},
		{
			"keepalive too short", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASN: 1, keepalive: 100ms}`,
			[]string{"spec.keepalive", "at least 1s"},
		},
		{
			"connect retry", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASN: 1, connectRetry: 1s}`,
			[]string{"spec.connectRetry", "between 2s and 65535s"},
		},
		{"hops", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASN: 1, ebgpMultiHop: 256}`, []string{"spec.ebgpMultiHop", "256", "255"}},
		{
			"BFD too fast", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASN: 1, bfd: {interval: 1ms}}`,
			[]string{"spec.bfd.interval", "between 10ms and 60s"},
		},
		{
			"BFD multiplier", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASN: 1, bfd: {multiplier: 1}}`,
			[]string{"spec.bfd.multiplier", "greater than or equal to 2"},
		},
		{
			"restart time", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASN: 1, gracefulRestart: {restartTime: 4096s}}`,
			[]string{"spec.gracefulRestart.restartTime", "between 1s and 4095s"},
		},
		{"vrf is not offered", `spec: {peerAddress: 10.0.0.1, peerASN: 1, localASN: 1, vrf: red}`, []string{`unknown field "spec.vrf"`}},
	})
}
