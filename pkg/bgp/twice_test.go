// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTwoPeersAtOneAddress has the caller name them in another order, which is no reason to end a session.
func TestTwoPeersAtOneAddress(t *testing.T) {
	p := newRawPeer(t, 1)
	first, second := p.peer(), p.peer()
	first.Name, second.Name = "tor-b", "tor-a"
	second.HoldTime = 30 * time.Second
	s := newSpeaker(t)
	d := Desired{RouterID: netip.MustParseAddr("10.9.0.1"), Peers: []Peer{first, second}}
	for range 4 {
		err := s.Apply(t.Context(), d)
		if err == nil || !strings.Contains(err.Error(), `bgp peer "tor-a": address 127.0.1.1 is that of peer "tor-b" already`) {
			t.Fatalf("got %v", err)
		}
		if x := session(s, "tor-a"); !strings.Contains(x.LastError, `that of peer "tor-b" already`) {
			t.Errorf("the second peer is %+v", x)
		}
		if session(s, "tor-b").State != Established {
			raw, err := p.establish(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(raw.end)
			await(t, "the first session", func() (bool, string) {
				x := session(s, "tor-b")
				return x.State == Established, fmt.Sprintf("%+v", x)
			})
		}
		slices.Reverse(d.Peers)
	}
	if x := session(s, "tor-b"); x.State != Established || x.Flaps > 0 {
		t.Errorf("the first peer is %+v, want its session kept", x)
	}

	// What is wrong with the configuration says more than that the session has ended for it.
	d.Peers = []Peer{first, second}
	d.Peers[0].HoldTime = time.Second
	if err := s.Apply(t.Context(), d); err == nil {
		t.Error("a hold time of 1s is taken")
	}
	if x := session(s, "tor-b"); !strings.Contains(x.LastError, "hold time 1s") {
		t.Errorf("the first peer is %+v, want to read of its hold time", x)
	}
	if x := session(s, "tor-a"); x.Address != p.at.Addr() || x.LastError != "" {
		t.Errorf("the second peer is %+v, want it in the place of the first", x)
	}
}

func TestUnnumberedPeersInOnePlace(t *testing.T) {
	newRouter(t, "cable-a", 1)
	newRouter(t, "cable-b", 2)
	for _, tt := range []struct{ name, iface, want string }{
		{"one interface", "cable-a", `interface cable-a is that of peer "tor-b" already`},
		{"one link-local address", "cable-b", `address fe80::1%cable-b is, but for the interface, that of peer "tor-b" (fe80::1%cable-a)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSpeaker(t)
			s.find = func(ifname string) (netip.Addr, error) { return netip.MustParseAddr("fe80::1").WithZone(ifname), nil }
			peers := []Peer{
				{Name: "tor-b", Interface: "cable-a", ASN: 64500, LocalASN: 64512},
				{Name: "tor-a", Interface: tt.iface, ASN: 64500, LocalASN: 64512},
			}
			apply(t, s, Desired{Peers: peers})
			s.followInterfaces(t.Context())
			a, b := session(s, "tor-a"), session(s, "tor-b")
			if !strings.Contains(a.LastError, tt.want) || a.Address.IsValid() {
				t.Errorf("the second peer is %+v, want %q", a, tt.want)
			}
			if b.Address.String() != "fe80::1%cable-a" || strings.Contains(b.LastError, "already") {
				t.Errorf("the first peer is %+v, want it left alone", b)
			}
			apply(t, s, Desired{Peers: peers[1:]})
			if x := session(s, "tor-a"); x.Address.String() != "fe80::1%"+tt.iface || x.LastError != "" {
				t.Errorf("alone, the second peer is %+v", x)
			}
		})
	}
}

// TestAdvertisementsEnd counts the sockets that router advertisements go through.
func TestAdvertisementsEnd(t *testing.T) {
	newRouter(t, "tor", 1)
	sockets := func(want int) func() (bool, string) {
		return func() (bool, string) {
			table, err := os.ReadFile("/proc/self/net/raw6")
			if err != nil {
				t.Fatal(err)
			}
			return strings.Count(string(table), "\n")-1 == want, string(table)
		}
	}
	s := newSpeaker(t)
	apply(t, s, Desired{Peers: []Peer{{Name: "tor", Interface: "tor", ASN: 64500, LocalASN: 64512}}})
	await(t, "one socket for the peer", sockets(1))
	apply(t, s, Desired{})
	await(t, "none without a peer", sockets(0))
}
