// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestPassword(t *testing.T) {
	r := newRouter(t, "frr", 1)
	r.frr(frrConfig(r, "neighbor 10.9.1.1 password right"))
	s := newSpeaker(t)
	peer := frrPeer(r)
	peer.Password = "wrong"
	d := Desired{Peers: []Peer{peer}, Routes: []Route{{Prefix: prefix("10.99.0.1/32")}}}
	apply(t, s, d)
	await(t, "an error in words", func() (bool, string) {
		x := session(s, "frr")
		return x.LastError != "" && x.State != Established, fmt.Sprintf("%+v", x)
	})
	t.Logf("with a wrong password: %+v", session(s, "frr"))
	d.Peers[0].Password = "right"
	apply(t, s, d)
	established(t, s)
	r.has("10.99.0.1/32", true)
}

func TestWrongASN(t *testing.T) {
	r := newRouter(t, "frr", 1)
	r.frr(frrConfig(r))
	s := newSpeaker(t)
	peer := frrPeer(r)
	peer.ASN = 64999
	apply(t, s, Desired{Peers: []Peer{peer}})
	await(t, "an error in words", func() (bool, string) {
		x := session(s, "frr")
		return x.LastError != "", fmt.Sprintf("%+v", x)
	})
	t.Logf("with a wrong ASN: %+v", session(s, "frr"))
}

func TestBFD(t *testing.T) {
	r := newRouter(t, "frr", 1)
	r.frr(frrConfig(r))
	s := newSpeaker(t)
	peer := frrPeer(r)
	peer.BFD = BFD{Interval: 50 * time.Millisecond, Multiplier: 3}
	apply(t, s, Desired{Peers: []Peer{peer}, Routes: []Route{{Prefix: prefix("10.99.0.1/32")}}})

	// The router does not speak BFD yet: the session comes up, and stays empty.
	established(t, s)
	r.await("the end of what it is told at first", func() (bool, string) {
		out := r.vtysh("show bgp neighbors 10.9.1.1")
		return strings.Contains(out, "End-of-RIB received: Yes") || strings.Contains(out, "Updates:"), out
	})
	await(t, "the error that BFD is not up", func() (bool, string) {
		x := session(s, "frr")
		return x.Prefixes == 0 && strings.Contains(x.LastError, "bfd is Down"), fmt.Sprintf("%+v", x)
	})
	if p := r.path("10.99.0.1/32"); p != nil {
		t.Errorf("a route is announced without BFD: %+v", p)
	}

	r.vtysh("conf t", "router bgp 64500", "neighbor 10.9.1.1 bfd 3 50 50")
	r.has("10.99.0.1/32", true)
	// FRR may flap once while it goes from one packet a second to the interval it is told.
	await(t, "BFD and the session up", func() (bool, string) {
		x := session(s, "frr")
		return x.State == Established && x.BFD == bfdUp && x.Prefixes == 1 && x.LastError == "", fmt.Sprintf("%+v", x)
	})
	r.has("10.99.0.1/32", true)

	// The hold time is 9s: before that, only BFD can notice.
	r.run("ip", "link", "set", "eth0", "down")
	began := time.Now()
	await(t, "the session lost", func() (bool, string) {
		x := session(s, "frr")
		return x.State != Established && x.BFD != bfdUp, fmt.Sprintf("%+v", x)
	})
	t.Logf("session lost %v after the path", time.Since(began))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the loss was noticed after %v: not by BFD", took)
	}
	r.run("ip", "link", "set", "eth0", "up")
	established(t, s)
	r.has("10.99.0.1/32", true)
}

func TestIPv4RoutesOverIPv6(t *testing.T) {
	t.Run("IPv6 next hop (RFC 8950)", func(t *testing.T) { overIPv6(t, netip.Addr{}, "fd09:1::1") })
	t.Run("IPv4 next hop", func(t *testing.T) { overIPv6(t, netip.MustParseAddr("10.9.1.1"), "10.9.1.1") })
}

func overIPv6(t *testing.T, nextHop netip.Addr, want string) {
	r := newRouter(t, "frr", 1)
	r.frr(`router bgp 64500
 bgp router-id 10.9.1.2
 no bgp ebgp-requires-policy
 neighbor fd09:1::1 remote-as 64512
 neighbor fd09:1::1 capability extended-nexthop
 address-family ipv6 unicast
  neighbor fd09:1::1 activate
 exit-address-family
`)
	s := newSpeaker(t)
	peer := Peer{Name: "frr", Address: r.own6, ASN: 64500, LocalASN: 64512, ConnectRetry: time.Second, NextHop4: nextHop}
	apply(t, s, Desired{Peers: []Peer{peer}, Routes: []Route{{Prefix: prefix("10.99.0.1/32")}, {Prefix: prefix("fd99::1/128")}}})
	if p := r.has("10.99.0.1/32", true); p.Nexthops[0].IP != want {
		t.Errorf("next hops %+v, want %v", p.Nexthops, want)
	}
	r.has("fd99::1/128", true)
}
