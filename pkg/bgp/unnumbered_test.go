// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-io/fairlead/e2e/netnstest"
)

// TestAdvertisementsGoOn has both ends of a cable advertise themselves, of which one changes.
func TestAdvertisementsGoOn(t *testing.T) {
	netnstest.Need(t)
	for _, tt := range []struct {
		name   string
		change [][]string
	}{
		{"on an interface that is made anew", [][]string{
			{"link", "del", "left"}, {"link", "add", "left", "type", "veth", "peer", "name", "right"},
		}},
		{"from another link-local address", [][]string{
			{"addr", "flush", "dev", "left", "scope", "link"}, {"addr", "add", "fe80::1:1/64", "dev", "left", "nodad"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ip := func(args ...string) { run(t, append([]string{"ip"}, args...)...) }
			up := func() {
				for _, end := range []string{"left", "right"} {
					run(t, "sysctl", "-qw", "net.ipv6.conf."+end+".accept_dad=0")
					ip("link", "set", end, "up")
				}
			}
			ip("link", "add", "left", "type", "veth", "peer", "name", "right")
			t.Cleanup(func() { ip("link", "del", "left") })
			up()
			await(t, "addresses at both ends", func() (bool, string) {
				return linkLocal(t, "left").IsValid() && linkLocal(t, "right").IsValid(), ""
			})
			a, begun := newAdvertisers(), time.Now()
			defer a.stop(t.Context())
			a.want(t.Context(), map[string]bool{"left": true, "right": true})
			awaitHeard(t, a, "left", "right", begun)
			awaitHeard(t, a, "right", "left", begun)
			for _, args := range tt.change {
				ip(args...)
			}
			up()
			changed := time.Now()
			awaitHeard(t, a, "left", "right", changed)
			awaitHeard(t, a, "right", "left", changed)
		})
	}
}

// awaitHeard waits until one interface has heard the other one's present address since then.
func awaitHeard(t *testing.T, a *advertisers, by, from string, since time.Time) {
	t.Helper()
	await(t, by+" hears "+from, func() (bool, string) {
		a.mu.Lock()
		heard := maps.Clone(a.byIf[by].routers)
		a.mu.Unlock()
		addr := linkLocal(t, from)
		return heard[addr].After(since), fmt.Sprintf("%s has %v, %s has heard %v", from, addr, by, heard)
	})
}

// linkLocal returns the interface's link-local address; not valid while it has none.
func linkLocal(t *testing.T, ifname string) netip.Addr {
	t.Helper()
	link, err := net.InterfaceByName(ifname)
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := link.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range addrs {
		if p := netip.MustParsePrefix(addr.String()); p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// TestRoutersAreForgotten: the one that was heard last stays, however long ago that was, and no other does for longer than it
// counts.
func TestRoutersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdvertisers()
		one := &advertiser{end: func() {}, routers: map[netip.Addr]time.Time{}}
		a.byIf["eth0"] = one
		var last netip.Addr
		for n := range 100 {
			last = netip.MustParseAddr(fmt.Sprintf("fe80::%d", n))
			a.note(one, last)
			time.Sleep(routerMemory / 2) // virtual
		}
		time.Sleep(time.Hour)
		if got, err := a.router("eth0"); got.WithZone("") != last || err != nil {
			t.Errorf("the router is %v (%v), want the last one that was heard", got, err)
		}
		if got := slices.Collect(maps.Keys(one.routers)); len(got) > 2 {
			t.Errorf("%d routers are remembered: %v", len(got), got)
		}
	})
}
