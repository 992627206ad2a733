// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestNeighboursResolveAnnouncedAddress(t *testing.T) {
	for _, c := range []struct{ name, own, client, vip string }{
		{"ARP", "10.9.0.1/24", "10.9.0.2/24", "10.9.0.100"},
		{"NDP", "fd09::1/64", "fd09::2/64", "fd09::abcd:100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lab := newLab(t)
			lab.here("lan0", c.own)
			client := lab.station("c1", c.client)
			s := start(t, Config{Schedule: Schedule{Burst: []Step{{}}}})
			usable(t, s, "lan0")
			must(t, s.Add(Announcement{Address: addr(c.vip)}))
			eventually(t, "the client's kernel resolves the address", func() bool {
				client.ask(c.vip)
				return client.neighbour(c.vip) == ownMAC(t)
			})
		})
	}
}

func TestTakeoverChangesNeighbourEntry(t *testing.T) {
	for _, c := range []struct{ name, own, client, old, vip string }{
		{"ARP", "10.9.0.1/24", "10.9.0.2/24", "10.9.0.3/24", "10.9.0.100"},
		{"NDP", "fd09::1/64", "fd09::2/64", "fd09::3/64", "fd09::abcd:100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lab := newLab(t)
			lab.here("lan0", c.own)
			client := lab.station("c1", c.client)
			bits := "/32"
			if c.name == "NDP" {
				bits = "/128"
			}
			old := lab.station("c2", c.old, c.vip+bits)
			s := start(t, Config{})
			usable(t, s, "lan0")
			eventually(t, "the client has the old station's entry", func() bool {
				client.ask(c.vip)
				return client.neighbour(c.vip) == old.mac()
			})
			eth0, err := old.h.LinkByName("eth0")
			must(t, err)
			must(t, old.h.LinkSetDown(eth0))
			must(t, s.Add(Announcement{Address: addr(c.vip)}))
			// Without being asked again: only an announcement does this.
			eventually(t, "the client has the new station's entry", func() bool {
				return client.neighbour(c.vip) == ownMAC(t)
			})
		})
	}
}

func TestRemovedAddressIsNotAnswered(t *testing.T) {
	lab := newLab(t)
	lab.here("lan0", "10.9.0.1/24")
	client := lab.station("c1", "10.9.0.2/24")
	s := start(t, Config{})
	usable(t, s, "lan0")
	connected(t, s, client, "10.9.0.99")
	must(t, s.Apply([]Announcement{{Address: addr("10.9.0.100")}, {Address: addr("10.9.0.101")}}))
	must(t, s.Apply([]Announcement{{Address: addr("10.9.0.101")}}))
	before := s.Stats().ARP
	client.ask("10.9.0.100")
	client.ask("10.9.0.101")
	// Both questions passed the filter in the order they were asked. An announcement may have told of the kept address before
	// the reply does.
	eventually(t, "the kept address resolves and is answered", func() bool {
		now := s.Stats().ARP
		return client.neighbour("10.9.0.101") == ownMAC(t) && now.Requests >= before.Requests+2 && now.Replies > before.Replies
	})
	if got := s.Stats().ARP.Replies - before.Replies; got != 1 {
		t.Errorf("%d replies, want 1: the removed address must not be answered", got)
	}
	if m := client.neighbour("10.9.0.100"); m != (MAC{}) {
		t.Errorf("removed address resolves to %v", m)
	}
}

func TestPostponedAddressIsAnsweredAndNotAnnounced(t *testing.T) {
	lab := newLab(t)
	lab.here("lan0", "10.9.0.1/24")
	client := lab.station("c1", "10.9.0.2/24")
	// Each 5 to 15 ms, for ever.
	s := start(t, Config{Schedule: Schedule{Burst: []Step{{}}, Repeat: 10 * time.Millisecond, Jitter: 0.5}})
	usable(t, s, "lan0")
	connected(t, s, client, "10.9.0.99")
	must(t, s.Add(Announcement{Address: addr("10.9.0.100")}))
	eventually(t, "it is announced again", func() bool { return s.Stats().ARP.Gratuitous > 2 })
	const by = 500 * time.Millisecond
	began := time.Now()
	s.Postpone(addr("10.9.0.100"), by)
	before := s.Stats().ARP
	client.ask("10.9.0.100")
	eventually(t, "it is answered", func() bool { return s.Stats().ARP.Replies > before.Replies })
	eventually(t, "it is announced again", func() bool { return s.Stats().ARP.Gratuitous > before.Gratuitous })
	if took := time.Since(began); took < by {
		t.Errorf("announced again after %v, want %v at least", took, by)
	}
}

func TestLinkFlapAnnouncesAgainAndResyncDoesNot(t *testing.T) {
	lab := newLab(t)
	lab.here("lan0", "10.9.0.1/24")
	s := start(t, Config{Schedule: Schedule{Burst: []Step{{}}}})
	usable(t, s, "lan0")
	plan := []Announcement{{Address: addr("10.9.0.100")}, {Address: addr("10.9.0.101")}}
	must(t, s.Apply(plan))
	eventually(t, "both are announced", func() bool { return s.Stats().ARP.Gratuitous == 2 })
	must(t, s.Apply(plan))
	if n := s.Stats().Unannounced; n != 0 {
		t.Errorf("re-sync queued %d announcements", n)
	}
	far, err := lab.sw.h.LinkByName("sw-lan0")
	must(t, err)
	must(t, lab.sw.h.LinkSetDown(far))
	eventually(t, "no interface is used", func() bool {
		st, _ := s.State(addr("10.9.0.100"))
		return len(st.Interfaces) == 0
	})
	must(t, lab.sw.h.LinkSetUp(far))
	eventually(t, "both are announced again", func() bool { return s.Stats().ARP.Gratuitous == 4 })
}

// TestSilenceOutlastsLinkFlap, as does one that begins while the link is down, until the address is to be announced again.
func TestSilenceOutlastsLinkFlap(t *testing.T) {
	lab := newLab(t)
	lab.here("lan0", "10.9.0.1/24")
	s := start(t, Config{Schedule: Schedule{Burst: []Step{{}}}})
	usable(t, s, "lan0")
	silent, loud := addr("10.9.0.100"), addr("10.9.0.101")
	used := func(a netip.Addr) bool { st, _ := s.State(a); return len(st.Interfaces) > 0 }
	must(t, s.Add(Announcement{Address: silent}, Announcement{Address: loud}))
	eventually(t, "both are announced", func() bool { return s.Stats().ARP.Gratuitous == 2 })
	far, err := lab.sw.h.LinkByName("sw-lan0")
	must(t, err)
	must(t, lab.sw.h.LinkSetDown(far))
	eventually(t, "no interface is used", func() bool { return !used(silent) && !used(loud) })
	s.Postpone(silent, time.Hour)
	must(t, lab.sw.h.LinkSetUp(far))
	eventually(t, "one is announced again", func() bool {
		now := s.Stats()
		return used(silent) && used(loud) && now.ARP.Gratuitous == 3 && now.Unannounced == 1
	})
	s.Reannounce(silent)
	eventually(t, "the other is announced too", func() bool { return s.Stats().ARP.Gratuitous == 4 && s.Stats().Unannounced == 0 })
}

func TestStrangersClaimIsDefendedAndPeersIsNot(t *testing.T) {
	for _, c := range []struct{ name, own, rival, vip string }{
		{"ARP", "10.9.0.1/24", "10.9.0.3/24", "10.9.0.100"},
		{"NDP", "fd09::1/64", "fd09::3/64", "fd09::abcd:100"},
	} {
		for _, peer := range []bool{false, true} {
			name := c.name + "/stranger"
			if peer {
				name = c.name + "/peer"
			}
			t.Run(name, func(t *testing.T) {
				lab := newLab(t)
				lab.here("lan0", c.own)
				rival := lab.station("c1", c.rival)
				s := start(t, Config{})
				usable(t, s, "lan0")
				if peer {
					s.SetPeers(map[MAC]string{rival.mac(): "n2"})
				}
				must(t, s.Add(Announcement{Address: addr(c.vip)}))
				var got Conflict
				eventually(t, "the claim is reported", func() bool {
					claim(t, rival, c.vip)
					select {
					case got = <-s.Conflicts():
						return true
					default:
						return false
					}
				})
				if got.MAC != rival.mac() || got.Address != addr(c.vip) || got.Interface != "lan0" {
					t.Errorf("conflict %+v", got)
				}
				if got.Defended == peer || (got.Peer == "n2") != peer {
					t.Errorf("peer %v: %+v", peer, got)
				}
			})
		}
	}
}

// claim has the station announce vip as its own.
func claim(t *testing.T, s *machine, vip string) {
	t.Helper()
	a := netip.MustParseAddr(vip)
	s.do(func() {
		link, err := s.h.LinkByName("eth0")
		must(t, err)
		var stats familyCounters
		p, err := openPort(Link{Index: link.Attrs().Index, Name: "eth0", MAC: s.mac()}, familyOf(a), &stats)
		must(t, err)
		defer p.conn.Close()
		must(t, p.announce(a, FormReply))
	})
}

func TestProbeFindsUserOfAddress(t *testing.T) {
	for _, c := range []struct{ name, own, user, used, free, other, bits string }{
		{"ARP", "10.9.0.1/24", "10.9.0.3/24", "10.9.0.100", "10.9.0.101", "10.9.0.102", "/32"},
		{"NDP", "fd09::1/64", "fd09::3/64", "fd09::abcd:100", "fd09::abcd:101", "fd09::abcd:102", "/128"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lab := newLab(t)
			lab.here("lan0", c.own)
			user := lab.station("c1", c.user, c.used+c.bits)
			s := start(t, Config{})
			usable(t, s, "lan0")
			connected(t, s, user, c.other)
			got, err := s.Probe(t.Context(), addr(c.used), nil)
			must(t, err)
			if got == nil || got.MAC != user.mac() {
				t.Errorf("used address: %+v, want %v", got, user.mac())
			}
			got, err = s.Probe(t.Context(), addr(c.free), nil)
			must(t, err)
			if got != nil {
				t.Errorf("free address: %+v", got)
			}
		})
	}
}

func TestVLANAnswersWithoutParentAnsweringToo(t *testing.T) {
	lab := newLab(t)
	lab.here("lan0", "10.9.0.1/24")
	parent, err := netlink.LinkByName("lan0")
	must(t, err)
	err = netlink.LinkAdd(&netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "lan0.7", ParentIndex: parent.Attrs().Index}, VlanId: 7})
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("this kernel has no VLAN devices (8021q)")
	}
	must(t, err)
	vlan, err := netlink.LinkByName("lan0.7")
	must(t, err)
	// An address of its own, so that who answered can be told.
	own := MAC{2, 0, 0, 0, 0, 7}
	must(t, netlink.LinkSetHardwareAddr(vlan, own[:]))
	must(t, netlink.LinkSetUp(vlan))
	client := lab.station("c1")
	eth0, err := client.h.LinkByName("eth0")
	must(t, err)
	must(t, client.h.LinkAdd(&netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "eth0.7", ParentIndex: eth0.Attrs().Index}, VlanId: 7}))
	client.up("eth0.7", "10.7.0.2/24")
	s := start(t, Config{Schedule: Schedule{Burst: []Step{{}}}})
	usable(t, s, "lan0.7")
	// Both ports hold the address; the frame is for the VLAN's only.
	must(t, s.Add(Announcement{Address: addr("10.7.0.100"), Interfaces: []string{"lan0*"}}))
	eventually(t, "announced on both", func() bool { return s.Stats().ARP.Gratuitous == 2 })
	client.ask("10.7.0.100")
	eventually(t, "the VLAN's client resolves", func() bool { return client.neighbour("10.7.0.100") == own })
	if got := s.Stats().ARP; got.Requests != 1 || got.Replies != 1 {
		t.Errorf("%d requests, %d replies; want one each", got.Requests, got.Replies)
	}
}

func TestThousandsOfSolicitedNodeGroups(t *testing.T) {
	lab := newLab(t)
	lab.here("lan0", "fd09::1/64")
	client := lab.station("c1", "fd09::2/64")
	s := start(t, Config{Schedule: Schedule{Burst: []Step{{}}}})
	usable(t, s, "lan0")
	var plan []Announcement
	base := addr("fd09::1:0").As16()
	for i := range 2000 {
		b := base
		b[14], b[15] = byte(i>>8), byte(i)
		b[13] = 1
		plan = append(plan, Announcement{Address: netip.AddrFrom16(b)})
	}
	must(t, s.Apply(plan))
	last := plan[len(plan)-1].Address.String()
	eventually(t, "announced", func() bool { return s.Stats().Unannounced == 0 })
	eventually(t, "the last address resolves", func() bool {
		client.ask(last)
		return client.neighbour(last) == ownMAC(t)
	})
}

func TestInterfaceWithoutAddressAnswers(t *testing.T) {
	lab := newLab(t)
	lab.here("lan0")
	client := lab.station("c1", "10.9.0.2/24")
	s := start(t, Config{})
	usable(t, s, "lan0")
	must(t, s.Add(Announcement{Address: addr("10.9.0.100"), Interfaces: []string{"lan?"}}))
	eventually(t, "the client's kernel resolves the address", func() bool {
		client.ask("10.9.0.100")
		return client.neighbour("10.9.0.100") == ownMAC(t)
	})
}

func TestAddressMovesWithTheSubnet(t *testing.T) {
	lab := newLab(t)
	lab.here("lan0", "10.9.0.1/24")
	lab.here("lan1")
	s := start(t, Config{})
	usable(t, s, "lan0")
	usable(t, s, "lan1")
	must(t, s.Add(Announcement{Address: addr("10.9.0.100")}))
	on := func(name string) func() bool {
		return func() bool {
			st, _ := s.State(addr("10.9.0.100"))
			return len(st.Interfaces) == 1 && st.Interfaces[0] == name && !st.Since.IsZero()
		}
	}
	eventually(t, "announced on lan0", on("lan0"))
	lan0, err := netlink.LinkByName("lan0")
	must(t, err)
	lan1, err := netlink.LinkByName("lan1")
	must(t, err)
	a, err := netlink.ParseAddr("10.9.0.1/24")
	must(t, err)
	must(t, netlink.AddrDel(lan0, a))
	a, err = netlink.ParseAddr("10.9.0.1/24")
	must(t, err)
	must(t, netlink.AddrAdd(lan1, a))
	eventually(t, "announced on lan1", on("lan1"))
}

func TestFirstRoundReachesEveryAddressBeforeTheSecond(t *testing.T) {
	lab := newLab(t)
	lab.here("lan0", "10.0.0.1/8")
	watcher := lab.station("c1", "10.0.0.2/8")
	var seen, before int
	first := map[netip.Addr]bool{}
	frames := watcher.capture(t)
	s := start(t, Config{AnnouncementsPerSecond: 20_000})
	usable(t, s, "lan0")
	connected(t, s, watcher, "10.9.0.99")
	const total = 3000
	var plan []Announcement
	for i := range total {
		plan = append(plan, Announcement{Address: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})})
	}
	began := time.Now()
	must(t, s.Apply(plan))
	for len(first) < total {
		var m message
		select {
		case m = <-frames:
		case <-t.Context().Done():
			t.Fatal("cut short")
		case <-time.After(15 * time.Second):
			t.Fatalf("%d of %d addresses were announced", len(first), total)
		}
		if !m.claims.IsValid() || m.claims.As4()[1] != 1 {
			continue
		}
		seen++
		if first[m.claims] {
			before++
		}
		first[m.claims] = true
	}
	took := time.Since(began)
	// A burst is allowed at once, and not more than the limit after it.
	if least := time.Duration(total-20_000/burstsPerSecond) * time.Second / 20_000; took < least*9/10 {
		t.Errorf("%d announcements in %v, faster than the limit allows (%v)", seen, took, least)
	}
	// Those due 10 ms later may slip in only as far as placing took time.
	if before > total/2 {
		t.Errorf("%d second announcements before the last first one", before)
	}
	t.Logf("first round of %d took %v, %d announcements in all", total, took, seen)
}

func TestPlanAppliedBeforeRunIsServed(t *testing.T) {
	lab := newLab(t)
	lab.here("lan0", "10.9.0.1/24")
	s := New(Config{})
	must(t, s.Apply([]Announcement{{Address: addr("10.9.0.100")}}))
	run(t, s)
	eventually(t, "announced", func() bool {
		st, _ := s.State(addr("10.9.0.100"))
		return !st.Since.IsZero()
	})
}

func TestApplyRefusesWhatCannotBeAnnouncedAndAppliesTheRest(t *testing.T) {
	for _, bad := range []Announcement{
		{},
		{Address: addr("224.0.0.1")},
		{Address: addr("127.0.0.1")},
		{Address: addr("0.0.0.0")},
		{Address: addr("fe80::1%eth0")},
		{Address: addr("10.0.0.1"), Interfaces: []string{"eth["}},
	} {
		s := New(Config{})
		if err := s.Apply([]Announcement{bad, {Address: addr("10.0.0.2")}}); err == nil {
			t.Errorf("%+v: no error", bad)
		}
		if _, ok := s.State(bad.Address); ok {
			t.Errorf("%+v is wanted", bad)
		}
		if _, ok := s.State(addr("10.0.0.2")); !ok {
			t.Errorf("beside %+v the other is not wanted", bad)
		}
	}
}
