// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestOtherNextHop has the node get another address of the family that the session does not run over.
func TestOtherNextHop(t *testing.T) {
	r := newRouter(t, "frr", 1)
	run(t, "ip", "addr", "add", "fd09:1::9/64", "dev", r.name, "nodad")
	r.frr(frrConfig(r))
	s := newSpeaker(t)
	d := Desired{Peers: []Peer{frrPeer(r)}, Routes: []Route{{Prefix: prefix("10.99.0.1/32")}, {Prefix: prefix("fd99::1/128")}}}
	apply(t, s, d)
	r.has("fd99::1/128", true)
	before := session(s, "frr")
	d.Peers[0].NextHop6 = netip.MustParseAddr("fd09:1::9")
	apply(t, s, d)
	r.await("the other next hop", func() (bool, string) {
		p := r.path("fd99::1/128")
		return p != nil && p.Nexthops[0].IP == "fd09:1::9", fmt.Sprintf("%+v", p)
	})
	if after := session(s, "frr"); after != before {
		t.Errorf("the session was %+v, and is %+v", before, after)
	}
	if p := r.has("10.99.0.1/32", true); p.Nexthops[0].IP != r.ours.String() {
		t.Errorf("the next hop of the session's own family is %+v", p.Nexthops)
	}
}

// TestPeerAtAnotherAddress is what a discovered peer becomes when the default route changes.
func TestPeerAtAnotherAddress(t *testing.T) {
	first, second := newRawPeer(t, 1), newRawPeer(t, 2)
	s := newSpeaker(t)
	for _, p := range []*rawPeer{first, second} {
		peer := p.peer()
		peer.Name = "gateway"
		apply(t, s, Desired{Peers: []Peer{peer}})
		raw, err := p.establish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(raw.end)
		await(t, "the session", func() (bool, string) {
			x := session(s, "gateway")
			return x.State == Established && x.Address == p.at.Addr(), fmt.Sprintf("%+v", x)
		})
		if p == first {
			defer func() {
				select {
				case <-raw.done:
				case <-time.After(30 * time.Second):
					t.Error("the session with the first gateway goes on")
				}
			}()
		}
	}
	if got := s.Sessions(); len(got) != 1 || got[0].Flaps != 1 {
		t.Errorf("the sessions are %+v, want one that was moved", got)
	}
}

func TestUnnumberedWithBFD(t *testing.T) {
	r := newRouter(t, "frr", 1)
	peer := unnumberedFRR(r, "")
	peer.BFD = BFD{Interval: 100 * time.Millisecond, Multiplier: 3}
	r.vtysh("conf t", "router bgp 64500", "neighbor eth0 bfd 3 100 100")
	s := newSpeaker(t)
	apply(t, s, Desired{Peers: []Peer{peer}, Routes: []Route{{Prefix: prefix("10.99.0.1/32")}}})
	r.has("10.99.0.1/32", true)
	await(t, "BFD and the session up", func() (bool, string) {
		x := session(s, "frr")
		return x.State == Established && x.BFD == bfdUp && x.LastError == "", fmt.Sprintf("%+v\n%s", x, r.vtysh("show bfd peers"))
	})
	// The hold time is 90s: before that, only BFD can notice.
	r.run("ip", "link", "set", "eth0", "down")
	await(t, "the session lost by BFD", func() (bool, string) {
		x := session(s, "frr")
		return x.State != Established && x.LostByBFD, fmt.Sprintf("%+v", x)
	})
	if x := session(s, "frr"); !strings.Contains(x.Address.String(), "%"+r.name) {
		t.Errorf("the session is %+v, want the interface as zone", x)
	}
}
