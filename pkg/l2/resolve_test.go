// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

func TestResolveFindsNeighbourAndTellsItWhoAsks(t *testing.T) {
	for _, c := range []struct{ name, own, asker, gateway, bits, free string }{
		{"ARP", "10.9.0.1/24", "10.9.0.1", "10.9.0.254", "/24", "10.9.0.253"},
		{"ARP, with a gateway beyond the subnet", "10.9.0.1/32", "10.9.0.1", "172.31.1.1", "/12", "172.31.1.2"},
		{"NDP", "fd09::1/64", "fd09::1", "fd09::fe", "/64", "fd09::fd"},
		{"NDP, with a link-local gateway", "fe80::5/64", "fe80::5", "fe80::1", "/64", "fe80::2"},
		{"NDP, with link-local addresses only", "fe80::5/64", "fe80::5", "fd09::fe", "/64", "fd09::fd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lab := newLab(t)
			lab.here("lan0")
			without(t, "lan0", netip.MustParsePrefix(c.own))
			router := lab.station("r1", c.gateway+c.bits)
			s := start(t, Config{})
			usable(t, s, "lan0")
			eventually(t, "the gateway answers", func() bool {
				got, err := s.Resolve(t.Context(), addr(c.gateway), "lan0")
				must(t, err)
				return got == router.mac()
			})
			eventually(t, "the gateway knows the asker", func() bool { return router.neighbour(c.asker) == ownMAC(t) })
			if got, err := s.Resolve(t.Context(), addr(c.free), "lan0"); err != nil || got != (MAC{}) {
				t.Errorf("nobody's address resolves to %v, %v", got, err)
			}
		})
	}
}

// without takes all addresses from the link and gives it own.
func without(t *testing.T, name string, own ...netip.Prefix) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	must(t, err)
	eventually(t, "the link has a link-local address", func() bool {
		have, err := netlink.AddrList(link, netlink.FAMILY_V6)
		must(t, err)
		return len(have) > 0
	})
	have, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	must(t, err)
	for _, a := range have {
		must(t, netlink.AddrDel(link, &a))
	}
	for _, p := range own {
		a, err := netlink.ParseAddr(p.String())
		must(t, err)
		a.Flags = unix.IFA_F_NODAD
		must(t, netlink.AddrAdd(link, a))
	}
}

func TestResolveWithoutAddress(t *testing.T) {
	lab := newLab(t)
	lab.here("lan0")
	without(t, "lan0")
	router := lab.station("r1", "10.9.0.254/24", "fd09::fe/64")
	s := start(t, Config{})
	usable(t, s, "lan0")
	eventually(t, "the gateway answers", func() bool {
		got, err := s.Resolve(t.Context(), addr("10.9.0.254"), "lan0")
		must(t, err)
		return got == router.mac()
	})
	eventually(t, "the addresses are gone", func() bool { return len(linkNamed(s, "lan0").Addresses) == 0 })
	if _, err := s.Resolve(t.Context(), addr("fd09::fe"), "lan0"); !errors.Is(err, ErrNoInterface) {
		t.Errorf("without an IPv6 address: %v, want %v", err, ErrNoInterface)
	}
	if _, err := s.Resolve(t.Context(), addr("10.9.0.254"), "lan1"); !errors.Is(err, ErrNoInterface) {
		t.Errorf("on no interface: %v, want %v", err, ErrNoInterface)
	}
}

func linkNamed(s *Speaker, name string) Link {
	links := s.Links()
	if i := slices.IndexFunc(links, func(l Link) bool { return l.Name == name }); i >= 0 {
		return links[i]
	}
	return Link{}
}

// TestResolvingLeavesNeighboursDADAlone has a router come up with its address, and find out that nobody else has it, while it
// is being asked for.
func TestResolvingLeavesNeighboursDADAlone(t *testing.T) {
	for _, gateway := range []string{"fe80::1", "fd09::fe"} {
		t.Run(gateway, func(t *testing.T) {
			lab := newLab(t)
			lab.here("lan0", "fd09::1/64")
			router := lab.station("r1", "fd09::2/64")
			s := start(t, Config{})
			usable(t, s, "lan0")
			connected(t, s, router, "fd09::abcd:99")
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- resolveUntil(ctx, s, addr(gateway)) }()
			defer func() { cancel(); must(t, <-done) }()
			eth0, err := router.h.LinkByName("eth0")
			must(t, err)
			a, err := netlink.ParseAddr(gateway + "/64")
			must(t, err)
			asked := s.Stats().NDP.Requests
			must(t, router.h.AddrAdd(eth0, a))
			eventually(t, "the router has made sure of its address", func() bool {
				flags := router.flags(gateway)
				if flags&unix.IFA_F_DADFAILED != 0 {
					t.Fatal("the router takes its address for another station's")
				}
				return flags&unix.IFA_F_TENTATIVE == 0
			})
			eventually(t, "the router's question is counted", func() bool { return s.Stats().NDP.Requests > asked })
			eventually(t, "the router is resolved", func() bool {
				got, err := s.Resolve(t.Context(), addr(gateway), "lan0")
				must(t, err)
				return got == router.mac()
			})
		})
	}
}

// resolveUntil asks for a, on and on, until ctx is done.
func resolveUntil(ctx context.Context, s *Speaker, a netip.Addr) error {
	for {
		_, err := s.Resolve(ctx, a, "lan0")
		if ctx.Err() != nil {
			return nil //nolint:nilerr // that is how it is to end
		}
		if err != nil {
			return err
		}
	}
}

// flags are those of the station's address.
func (s *machine) flags(address string) int {
	s.t.Helper()
	have, err := s.h.AddrList(nil, netlink.FAMILY_ALL)
	must(s.t, err)
	for _, a := range have {
		if a.IP.String() == address {
			return a.Flags
		}
	}
	s.t.Fatalf("the station has no address %s", address)
	return 0
}

// TestProbesOfOthersAreNoAnswer has another station probe for the address that is asked for, as machines of a cluster do for
// addresses of theirs.
func TestProbesOfOthersAreNoAnswer(t *testing.T) {
	for _, c := range []struct{ name, own, gateway string }{
		{"ARP", "10.9.0.1/24", "10.9.0.254"},
		{"NDP", "fd09::1/64", "fd09::fe"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &port{probed: map[netip.Addr][]*search{}, identify: func(MAC) (station, string) { return stranger, "" }}
			resolving, probing := newSearch(addr(c.gateway), true), newSearch(addr(c.gateway), false)
			p.tell(resolving)
			p.tell(probing)
			p.family, p.stats = familyOf(addr(c.gateway)), &familyCounters{}
			other := MAC{2, 0, 0, 0, 0, 2}
			frame, err := p.family.probe(addr(c.gateway), other)
			must(t, err)
			p.handle(klog.Background(), frame)
			if len(resolving.found) != 0 || len(probing.found) != 1 {
				t.Errorf("told of a probe %d times where it is resolved, %d times where it is probed for; want 0 and 1",
					len(resolving.found), len(probing.found))
			}
			frame, err = p.family.announce(addr(c.gateway), other, FormReply)
			must(t, err)
			p.handle(klog.Background(), frame)
			if len(resolving.found) != 1 {
				t.Error("not told of the one who has the address")
			}
		})
	}
}

func TestSourceOfQuestions(t *testing.T) {
	for _, c := range []struct {
		name, neighbour, want string
		own, tentative        []string
	}{
		{name: "of the subnet", neighbour: "10.0.0.254", own: []string{"10.0.0.5/24", "192.0.2.1/24"}, want: "10.0.0.5"},
		{name: "of the longest subnet", neighbour: "10.0.0.254", own: []string{"10.0.0.5/8", "10.0.0.6/24"}, want: "10.0.0.6"},
		{name: "of no subnet", neighbour: "172.31.1.1", own: []string{"10.0.0.5/32", "fe80::5/64"}, want: "10.0.0.5"},
		{name: "none of the family", neighbour: "10.0.0.254", own: []string{"fe80::5/64"}, want: "0.0.0.0"},
		{name: "link-local to link-local", neighbour: "fe80::1", own: []string{"2001:db8::5/64", "fe80::5/64"}, want: "fe80::5"},
		{name: "of the IPv6 subnet", neighbour: "2001:db8::1", own: []string{"2001:db8::5/64", "fe80::5/64"}, want: "2001:db8::5"},
		{name: "link-local beyond the subnet", neighbour: "2001:db8::1", own: []string{"2001:db8:1::5/64", "fe80::5/64"}, want: "fe80::5"},
		{name: "global without link-local", neighbour: "fe80::1", own: []string{"2001:db8::5/64"}, want: "2001:db8::5"},
		{
			name: "not a tentative one", neighbour: "fe80::1", own: []string{"2001:db8::5/64", "fe80::5/64"},
			tentative: []string{"fe80::5"}, want: "2001:db8::5",
		},
		{name: "tentative ones only", neighbour: "fe80::1", own: []string{"fe80::5/64"}, tentative: []string{"fe80::5"}, want: "::"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l Link
			for _, p := range c.own {
				l.Addresses = append(l.Addresses, netip.MustParsePrefix(p))
			}
			for _, a := range c.tentative {
				l.Tentative = append(l.Tentative, addr(a))
			}
			if got := l.sourceFor(addr(c.neighbour)); got != addr(c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// TestDuplicateAddressIsTentative gives the link an address that another station has, and one that nobody has.
func TestDuplicateAddressIsTentative(t *testing.T) {
	lab := newLab(t)
	lab.here("lan0", "fd09::1/64")
	other := lab.station("c1", "fd09::7/64")
	s := start(t, Config{})
	usable(t, s, "lan0")
	connected(t, s, other, "fd09::abcd:99")
	lan0, err := netlink.LinkByName("lan0")
	must(t, err)
	for _, own := range []string{"fd09::7/64", "fd09::8/64"} {
		a, err := netlink.ParseAddr(own)
		must(t, err)
		must(t, netlink.AddrAdd(lan0, a))
	}
	eventually(t, "the other's address alone is tentative", func() bool {
		l := linkNamed(s, "lan0")
		return len(l.Addresses) == 4 && slices.Equal(l.Tentative, []netip.Addr{addr("fd09::7")})
	})
}
