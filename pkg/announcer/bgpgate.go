// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// gatePatience is how long the first announcements wait for a look at each address and for what else decides about them.
// Peers that kept the routes of the agent before this one drop what the first announcements leave out.
const gatePatience = 10 * time.Second

// bgpGate knows of each address that BGP announces whether kube-proxy of this node forwards it. Traffic that comes in
// before is refused by the node, though others would serve it.
type bgpGate struct {
	checker *programChecker // nil where there is no kube-proxy
	watched map[netip.Addr]bool
	opened  bool // the first announcements need not wait any more
	since   time.Time
}

func newBGPGate(checker *programChecker) *bgpGate {
	return &bgpGate{checker: checker, watched: map[netip.Addr]bool{}}
}

// watch has the addresses checked that BGP announces, and no others.
func (g *bgpGate) watch(vips []*v1alpha1.VirtualIP) {
	if g.checker == nil {
		return
	}
	now := make(map[netip.Addr]bool, len(vips))
	for _, vip := range vips {
		addr, err := parseAddress(vip.Spec.Address)
		if err != nil || len(vip.Spec.Services) == 0 || !byBGP(vip) {
			continue
		}
		now[addr] = true
		g.checker.watch(addr, vip.Spec.Services, true)
	}
	maps.DeleteFunc(g.watched, func(addr netip.Addr, _ bool) bool {
		if !now[addr] {
			g.checker.forget(addr)
		}
		return !now[addr]
	})
	maps.Copy(g.watched, now)
}

func byBGP(vip *v1alpha1.VirtualIP) bool {
	return slices.ContainsFunc(vip.Spec.Announce, func(a v1alpha1.Announcement) bool { return a.BGP != nil })
}

// ready tells whether all else is known, and there is a verdict on every address; or enough patience was had, or this was
// so once.
func (g *bgpGate) ready(now time.Time, known bool) bool {
	if g.since.IsZero() {
		g.since = now
	}
	for addr := range g.watched {
		known = known && g.checker.state(addr) != programmingUnknown
	}
	g.opened = g.opened || known || now.Sub(g.since) > gatePatience
	return g.opened
}

// open tells whether the node forwards an address. What it has not found out yet counts as no.
func (g *bgpGate) open(addr netip.Addr) bool {
	return g.checker == nil || g.checker.state(addr) == programmed
}
