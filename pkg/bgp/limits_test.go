// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

const overLimit = "the peer ended the session: cease, maximum number of prefixes reached"

func TestPeerLimitsPrefixes(t *testing.T) {
	r := newRouter(t, "frr", 1)
	r.frr(frrConfig(r, "address-family ipv4 unicast", " neighbor 10.9.1.1 maximum-prefix 2", "exit-address-family"))
	s := newSpeaker(t)
	d := Desired{Peers: []Peer{frrPeer(r)}}
	for i := range 9 {
		d.Routes = append(d.Routes, Route{Prefix: prefix(fmt.Sprintf("10.99.%d.0/24", i)), Attributes: Attributes{MED: new(uint32(i))}})
	}
	apply(t, s, d)
	await(t, "the peer's refusal in words", func() (bool, string) {
		x := session(s, "frr")
		return x.State != Established && x.LastError == overLimit, fmt.Sprintf("%+v", x)
	})
	// It must still say so when the session was tried again since.
	flaps := session(s, "frr").Flaps
	r.vtysh("clear bgp *")
	await(t, "the next refusal", func() (bool, string) {
		x := session(s, "frr")
		return x.Flaps > flaps && x.State != Established && x.LastError == overLimit, fmt.Sprintf("%+v", x)
	})
	d.Routes = d.Routes[:2]
	apply(t, s, d)
	r.vtysh("clear bgp *")
	r.has("10.99.1.0/24", true)
	await(t, "a session within the limit", func() (bool, string) {
		x := session(s, "frr")
		return x.LastError == "" && x.Prefixes == 2, fmt.Sprintf("%+v", x)
	})
}

func TestLinkBandwidth(t *testing.T) {
	r := newRouter(t, "frr", 1)
	r.frr(frrConfig(r))
	s := newSpeaker(t)
	route := Route{Prefix: prefix("10.99.0.1/32"), Attributes: Attributes{LinkBandwidth: 1_250_000}}
	d := Desired{Peers: []Peer{frrPeer(r)}, Routes: []Route{route, {Prefix: prefix("fd99::1/128"), Attributes: route.Attributes}}}
	apply(t, s, d)
	for _, p := range []string{"10.99.0.1/32", "fd99::1/128"} {
		if got := r.has(p, true).ExtendedCommunity.String; !strings.HasPrefix(got, "LB:64512:1250000") {
			t.Errorf("%s has the extended communities %q", p, got)
		}
	}
	d.Routes[0].LinkBandwidth = 3_750_000
	apply(t, s, d)
	r.await("three times the bandwidth", func() (bool, string) {
		p := r.path("10.99.0.1/32")
		return p != nil && strings.HasPrefix(p.ExtendedCommunity.String, "LB:64512:3750000"), fmt.Sprintf("%+v", p)
	})
	// Bandwidth has room for an ASN of two bytes only.
	if got := linkBandwidth(4_200_000_000, 1); got != "lb:23456:1" {
		t.Errorf("for an ASN of four bytes: %s", got)
	}
	d.Routes[0].LinkBandwidth = 0
	apply(t, s, d)
	r.await("no bandwidth", func() (bool, string) {
		p := r.path("10.99.0.1/32")
		return p != nil && p.ExtendedCommunity.String == "", fmt.Sprintf("%+v", p)
	})
}

const birdKeepsLong = `router id 10.9.2.2;
protocol device {}
protocol bgp fairlead {
  local 10.9.2.2 as 64500;
  neighbor 10.9.2.1 as 64512;
  direct;
  graceful restart on;
  long lived graceful restart on;
  ipv4 { import all; export none; };
  ipv6 { import all; export none; };
}`

func TestLongLivedGracefulRestart(t *testing.T) {
	a, b := newRouter(t, "frr", 1), newRouter(t, "bird", 2)
	a.frr(frrConfig(a, "bgp graceful-restart", "bgp long-lived-graceful-restart stale-time 60"))
	b.bird(birdKeepsLong)
	s := newSpeaker(t)
	peers := []Peer{frrPeer(a), {Name: "bird", Address: b.own, ASN: 64500, LocalASN: 64512, NextHop6: b.ours6, ConnectRetry: time.Second}}
	for i := range peers {
		peers[i].GracefulRestart, peers[i].LongLivedStale = time.Second, 20*time.Second
	}
	apply(t, s, Desired{Peers: peers, Routes: []Route{{Prefix: prefix("10.99.0.1/32")}}})
	a.has("10.99.0.1/32", true)
	b.await("the route", func() (bool, string) {
		out := b.birdc("show route")
		return strings.Contains(out, "10.99.0.1/32"), out
	})
	if err := s.Stop(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	// The restart time passes, and the route is kept as the last resort.
	a.await("stale, but there", func() (bool, string) {
		p := a.path("10.99.0.1/32")
		return p != nil && strings.Contains(p.Community.String, "llgr-stale"), fmt.Sprintf("%+v", p)
	})
	b.await("stale, but there", func() (bool, string) {
		out := b.birdc("show route 10.99.0.1/32 all")
		return strings.Contains(out, "(65535,6)"), out
	})
	a.has("10.99.0.1/32", false)
	b.await("gone after the stale time", func() (bool, string) {
		out := b.birdc("show route")
		return !strings.Contains(out, "10.99.0.1/32"), out
	})
}

// TestTooManyRoutes has a peer send more routes than are bearable. Its session is closed, and tried again later.
func TestTooManyRoutes(t *testing.T) {
	p := newRawPeer(t, 1)
	s := newSpeaker(t)
	s.rest = 2 * time.Second
	apply(t, s, Desired{Peers: []Peer{p.peer()}, Routes: []Route{{Prefix: prefix("10.99.0.1/32")}}})
	raw, err := p.establish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := range maxReceived/1000 + 1 {
		if _, err := raw.Write(routesOfPeer(t, n)); err != nil {
			break // it is closed by now
		}
	}
	await(t, "the end of the session", func() (bool, string) {
		x := session(s, p.name)
		return x.State != Established && x.LastError == overLimitInWords(), fmt.Sprintf("%+v", x)
	})
	<-raw.done
	if got := known(t, s); got != "10.99.0.1/32 " {
		t.Errorf("the table has %s", got)
	}
	again, err := p.establish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer again.end()
	await(t, "the session again", func() (bool, string) {
		x := session(s, p.name)
		return x.State == Established && x.LastError == "" && x.Prefixes == 1, fmt.Sprintf("%+v", x)
	})
}

// routesOfPeer is the n-th UPDATE of a thousand routes.
func routesOfPeer(t *testing.T, n int) []byte {
	t.Helper()
	next, err := bgp.NewPathAttributeNextHop(netip.MustParseAddr("127.0.1.1"))
	if err != nil {
		t.Fatal(err)
	}
	path := bgp.NewPathAttributeAsPath([]bgp.AsPathParamInterface{bgp.NewAs4PathParam(bgp.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{64500})})
	var routes []bgp.PathNLRI
	for i := range 1000 {
		at := n*1000 + i
		nlri, err := bgp.NewIPAddrPrefix(netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(20 + at>>16), byte(at >> 8), byte(at), 0}), 24))
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, bgp.PathNLRI{NLRI: nlri})
	}
	update := bgp.NewBGPUpdateMessage(nil, []bgp.PathAttributeInterface{bgp.NewPathAttributeOrigin(0), path, next}, routes)
	b, err := update.Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
