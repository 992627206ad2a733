// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
)

// unnumberedFRR has FRR peer with whoever is at the other end of the cable.
func unnumberedFRR(r *router, more string) Peer {
	r.frr(`router bgp 64500
 bgp router-id 10.9.1.2
 no bgp ebgp-requires-policy
 ` + more + `
 neighbor eth0 interface remote-as 64512
 address-family ipv6 unicast
  neighbor eth0 activate
 exit-address-family
`)
	r.vtysh("conf t", "interface eth0", "no ipv6 nd suppress-ra", "ipv6 nd ra-interval 1")
	return Peer{Name: "frr", Interface: r.name, ASN: 64500, LocalASN: 64512, ConnectRetry: time.Second}
}

func TestUnnumbered(t *testing.T) {
	for _, name := range []string{"new interface", "another interface of the same name"} {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, "frr", 1)
			peer := unnumberedFRR(r, "")
			s := newSpeaker(t)
			apply(t, s, Desired{Peers: []Peer{peer}, Routes: []Route{{Prefix: prefix("10.99.0.1/32")}, {Prefix: prefix("fd99::1/128")}}})
			established(t, s)
			p, p6 := r.has("10.99.0.1/32", true), r.has("fd99::1/128", true)
			if len(p.Nexthops) == 0 || !strings.HasPrefix(p.Nexthops[0].IP, "fe80:") || len(p6.Nexthops) == 0 {
				t.Errorf("next hops %+v and %+v, want link-local ones (RFC 5549)", p.Nexthops, p6.Nexthops)
			}
		})
	}
}

const birdBehind = `router id 10.9.2.2;
protocol device {}
protocol static { ipv4; route 10.8.0.1/32 via 10.9.2.1; }
protocol kernel { ipv4 { export all; import none; }; }
protocol bgp fairlead {
  local 10.8.0.2 port 1790 as 64500;
  neighbor 10.8.0.1 as 64602;
  multihop 2;
  ipv4 { import all; export none; };
}`

// TestPeersApart has two peers that differ in all that a session can have: one is on the cable and knows the speaker by
// one ASN; the other is behind it, at an address and port of its own, and knows it by another ASN and address.
func TestPeersApart(t *testing.T) {
	a, b := newRouter(t, "frr", 1), newRouter(t, "bird", 2)
	a.frr(frrConfig(a))
	b.run("ip", "addr", "add", "10.8.0.2/32", "dev", "lo")
	run(t, "ip", "addr", "add", "10.8.0.1/32", "dev", "lo")
	run(t, "ip", "route", "add", "10.8.0.2/32", "via", "10.9.2.2")
	t.Cleanup(func() { run(t, "ip", "addr", "del", "10.8.0.1/32", "dev", "lo") })
	b.bird(birdBehind)
	s := newSpeaker(t)
	apply(t, s, Desired{
		Peers: []Peer{frrPeer(a), {
			Name: "bird", Address: netip.MustParseAddr("10.8.0.2"), Source: netip.MustParseAddr("10.8.0.1"), Port: 1790, MultiHop: 2,
			ASN: 64500, LocalASN: 64602, ConnectRetry: time.Second, HoldTime: 12 * time.Second, Keepalive: 2 * time.Second,
		}},
		Routes: []Route{{Prefix: prefix("10.99.0.1/32"), Attributes: Attributes{Prepend: 1}}},
	})
	if got := a.has("10.99.0.1/32", true).ASPath.String; got != "64512 64512" {
		t.Errorf("frr has the path %q, want the ASN that it knows", got)
	}
	b.await("the route", func() (bool, string) {
		out := b.birdc("show route all")
		return strings.Contains(out, "BGP.as_path: 64602 64602") && strings.Contains(out, "BGP.next_hop: 10.8.0.1"), out
	})
	if out := b.birdc("show protocols all fairlead"); !strings.Contains(out, "/12\n") {
		t.Errorf("want the hold time of 12s:\n%s", out)
	}
}

// TestChangedPeerLeavesNothingBehind counts what a peer costs that is changed again and again, as by passwords that rotate.
func TestChangedPeerLeavesNothingBehind(t *testing.T) {
	const changes = 8
	p := newRawPeer(t, 1)
	s := newSpeaker(t)
	d := Desired{Peers: []Peer{p.peer()}}
	for i := range 2000 {
		d.Routes = append(d.Routes, Route{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 99, byte(i >> 8), byte(i)}), 32)})
	}
	round := func(hold time.Duration) {
		d.Peers[0].HoldTime = hold
		apply(t, s, d)
		raw, err := p.establish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		<-raw.updates
		t.Cleanup(raw.end)
	}
	round(30 * time.Second)
	before := runtime.NumGoroutine()
	for i := range changes {
		round(time.Duration(31+i) * time.Second)
	}
	await(t, "the goroutines of changed peers to end", func() (bool, string) {
		n := runtime.NumGoroutine()
		return n < before+5, fmt.Sprintf("%d goroutines, %d before %d changes", n, before, changes)
	})
}
