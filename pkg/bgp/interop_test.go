// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-io/fairlead/pkg/bgp/community"
)

const frrBasics = `router bgp 64500
 bgp router-id %[1]s
 no bgp ebgp-requires-policy
 neighbor %[2]s remote-as 64512
 neighbor %[2]s timers 3 9
 %[3]s
 address-family ipv6 unicast
  neighbor %[2]s activate
 exit-address-family
`

// frrConfig is that of a router that peers with this machine over IPv4 and takes both families; more is added to it.
func frrConfig(r *router, more ...string) string {
	return fmt.Sprintf(frrBasics, r.own, r.ours, strings.Join(more, "\n "))
}

func frrPeer(r *router) Peer {
	return Peer{Name: r.name, Address: r.own, ASN: 64500, LocalASN: 64512, NextHop6: r.ours6, ConnectRetry: time.Second}
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// newSpeaker returns one that is stopped with the test.
func newSpeaker(t *testing.T) *Speaker {
	t.Helper()
	s := New(Config{})
	t.Cleanup(func() {
		if err := s.Stop(context.Background(), false); err != nil {
			t.Error(err)
		}
	})
	return s
}

func apply(t *testing.T, s *Speaker, d Desired) {
	t.Helper()
	d.RouterID = netip.MustParseAddr("10.9.0.1")
	if err := s.Apply(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

func session(s *Speaker, name string) Session {
	for _, x := range s.Sessions() {
		if x.Peer == name {
			return x
		}
	}
	return Session{}
}

// established awaits the session with FRR.
func established(t *testing.T, s *Speaker) {
	t.Helper()
	await(t, "session with FRR", func() (bool, string) {
		x := session(s, "frr")
		return x.State == Established, fmt.Sprintf("%+v", x)
	})
}

func communities(t *testing.T, texts ...string) []community.Community {
	t.Helper()
	var out []community.Community
	for _, s := range texts {
		c, err := community.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

const birdBothFamilies = `router id 10.9.2.2;
protocol device {}
protocol bgp fairlead {
  local 10.9.2.2 as 64512;
  neighbor 10.9.2.1 as 64512;
  direct;
  ipv4 { import all; export none; };
  ipv6 { import all; export none; };
}`

func TestRoutersGetWhatIsForThem(t *testing.T) {
	a, b := newRouter(t, "frr", 1), newRouter(t, "bird", 2)
	a.frr(frrConfig(a, "no bgp network import-check", "address-family ipv4 unicast", " network 172.31.0.0/16", "exit-address-family"))
	b.bird(birdBothFamilies)
	s := newSpeaker(t)
	pref, med := uint32(250), uint32(7)
	peers := []Peer{frrPeer(a), {Name: "bird", Address: b.own, ASN: 64512, LocalASN: 64512, NextHop6: b.ours6}}
	special := Attributes{
		Communities:     communities(t, "64512:100", "64512:1:2", "no-export"),
		LocalPreference: &pref, MED: &med, Prepend: 2,
	}
	routes := []Route{
		{Prefix: prefix("10.99.0.1/32"), Attributes: special},
		{Prefix: prefix("10.99.0.2/32")},
		{Prefix: prefix("10.99.0.3/32"), Peers: []string{"bird"}},
		{Prefix: prefix("fd99::1/128"), Attributes: special},
		{Prefix: prefix("10.99.1.0/24"), Attributes: special, Peers: []string{"frr"}},
		{Prefix: prefix("10.99.1.0/24")},
	}
	apply(t, s, Desired{Peers: peers, Routes: routes})
	frrHasItsRoutes(t, a)
	birdHasItsRoutes(t, b)
	if x := session(s, "frr"); x.Prefixes != 4 || x.LastError != "" {
		t.Errorf("session with frr: %+v, want 4 prefixes", x)
	}
	if x := session(s, "bird"); x.Prefixes != 5 {
		t.Errorf("session with bird: %+v, want 5 prefixes", x)
	}

	t.Run("withdraw", func(t *testing.T) {
		routes = routes[1:]
		apply(t, s, Desired{Peers: peers, Routes: routes})
		a.has("10.99.0.1/32", false)
		a.has("10.99.0.2/32", true)
	})
	t.Run("no longer for a peer", func(t *testing.T) {
		routes[0].Peers = []string{"bird"}
		apply(t, s, Desired{Peers: peers, Routes: routes})
		a.has("10.99.0.2/32", false)
		if out := b.birdc("show route 10.99.0.2/32"); !strings.Contains(out, "10.99.0.2/32") {
			t.Errorf("bird has lost it:\n%s", out)
		}
	})
	t.Run("a changed peer leaves the other alone", func(t *testing.T) {
		before := session(s, "bird")
		peers[0].HoldTime = 30 * time.Second
		apply(t, s, Desired{Peers: peers, Routes: routes})
		if x := session(s, "frr"); x.State == Established {
			t.Errorf("the session with frr goes on as if nothing had changed: %+v", x)
		}
		established(t, s)
		a.has("fd99::1/128", true)
		if now := session(s, "bird"); now.Since != before.Since || now.Flaps != before.Flaps {
			t.Errorf("session with bird before %+v, after %+v", before, now)
		}
	})
	t.Run("nothing comes in", func(t *testing.T) {
		a.await("its own route goes out", func() (bool, string) {
			out := a.vtysh("show bgp ipv4 unicast neighbors 10.9.1.1 advertised-routes json")
			return strings.Contains(out, "172.31.0.0"), out
		})
		if got := known(t, s); strings.Contains(got, "172.31.0.0") {
			t.Errorf("the speaker took a route of a peer: %s", got)
		}
	})
	t.Run("drain", func(t *testing.T) { drains(t, s, a, b) })
	t.Run("a removed peer loses all", func(t *testing.T) {
		apply(t, s, Desired{Peers: peers[1:], Routes: routes})
		a.has("10.99.1.0/24", false)
		if x := s.Sessions(); len(x) != 1 || x[0].State != Established {
			t.Errorf("sessions %+v, want bird alone", x)
		}
	})
}

// drains checks that a drained speaker asks its peers to prefer all others (RFC 8326).
func drains(t *testing.T, s *Speaker, a, b *router) {
	t.Helper()
	if err := s.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.await("drained", func() (bool, string) {
		out := b.birdc("show route 10.99.0.2/32 all")
		return strings.Contains(out, "(65535,0)") && strings.Contains(out, "BGP.local_pref: 0"), out
	})
	if p := a.has("10.99.1.0/24", true); !strings.Contains(p.Community.String, "graceful-shutdown") {
		a.await("drained", func() (bool, string) {
			p := a.path("10.99.1.0/24")
			return p != nil && strings.Contains(strings.ToLower(p.Community.String), "graceful"), fmt.Sprintf("%+v", p)
		})
	}
}

// frrHasItsRoutes checks what FRR was told, and with which attributes.
func frrHasItsRoutes(t *testing.T, a *router) {
	t.Helper()
	p := a.has("10.99.0.1/32", true)
	got := fmt.Sprint(p.ASPath.String, " ", *p.Metric, " ", p.Community.String, " ", p.LargeCommunity.String, " ", p.Nexthops[0].IP)
	if want := "64512 64512 64512 7 64512:100 no-export 64512:1:2 10.9.1.1"; got != want {
		t.Errorf("frr has %q, want %q", got, want)
	}
	p = a.has("10.99.0.2/32", true)
	if got := fmt.Sprint(p.ASPath.String, p.Community.String, p.LargeCommunity.String); got != "64512" {
		t.Errorf("a route without attributes has %q", got)
	}
	if p = a.has("fd99::1/128", true); p.Nexthops[0].IP != a.ours6.String() {
		t.Errorf("next hop of an IPv6 route over an IPv4 session: %+v, want %v", p.Nexthops, a.ours6)
	}
	if a.path("10.99.0.3/32") != nil {
		t.Error("frr is told a route that is for bird alone")
	}
	if p = a.has("10.99.1.0/24", true); *p.Metric != 7 {
		t.Errorf("frr is told the attributes meant for others: %+v", p)
	}
}

// birdHasItsRoutes checks what BIRD was told, and with which attributes.
func birdHasItsRoutes(t *testing.T, b *router) {
	t.Helper()
	b.await("the routes", func() (bool, string) {
		out := b.birdc("show route")
		return strings.Contains(out, "10.99.0.3/32") && strings.Contains(out, "fd99::1/128"), out
	})
	out := b.birdc("show route 10.99.0.1/32 all")
	for _, want := range []string{"BGP.local_pref: 250", "BGP.med: 7", "(64512,100)", "(64512, 1, 2)", "BGP.next_hop: 10.9.2.1"} {
		if !strings.Contains(out, want) {
			t.Errorf("bird lacks %q:\n%s", want, out)
		}
	}
	if out := b.birdc("show route 10.99.1.0/24 all"); !strings.Contains(out, "BGP.local_pref: 100") {
		t.Errorf("bird is told the attributes meant for frr:\n%s", out)
	}
}
