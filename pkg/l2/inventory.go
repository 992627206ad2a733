// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inventory is what netlink has told about links so far.
type inventory struct {
	links     map[int]netlink.Link
	addresses map[int]map[netip.Prefix]int // to their IFA_F flags
	defaults  []netlink.Route
	// stale: a default route has changed since defaults was read. Routes are
	// read anew rather than followed, since a replaced one is told of once.
	stale bool
}

// dumpPause is between two attempts at a dump that a change has interrupted.
const dumpPause = 10 * time.Millisecond

// dump has list ask the kernel until the list is whole, or ctx is done. The
// kernel hands out long lists in parts, and marks those that something changed
// under: they may lack what was there all the time (NLM_F_DUMP_INTR).
func dump[T any](ctx context.Context, list func() (T, error)) (T, error) {
	for {
		all, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
		select {
		case <-ctx.Done():
			return all, ctx.Err()
		case <-time.After(dumpPause):
		}
	}
}

// readInventory asks the kernel for everything.
func readInventory(ctx context.Context) (*inventory, error) {
	inv := &inventory{links: map[int]netlink.Link{}, addresses: map[int]map[netip.Prefix]int{}}
	links, err := dump(ctx, netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listing links: %w", err)
	}
	for _, l := range links {
		inv.links[l.Attrs().Index] = l
	}
	addrs, err := dump(ctx, func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	for _, a := range addrs {
		inv.address(a.LinkIndex, *a.IPNet, a.Flags, true)
	}
	inv.stale = true
	return inv, inv.refresh(ctx)
}

// refresh asks the kernel for the default routes of the main table, if they
// are stale.
func (inv *inventory) refresh(ctx context.Context) error {
	if !inv.stale {
		return nil
	}
	inv.stale = false
	routes, err := dump(ctx, func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return fmt.Errorf("listing routes: %w", err)
	}
	inv.defaults = slices.DeleteFunc(routes, func(r netlink.Route) bool { return !isDefault(r) })
	slices.SortStableFunc(inv.defaults, func(a, b netlink.Route) int { return a.Priority - b.Priority })
	return nil
}

func isDefault(r netlink.Route) bool {
	if r.Dst == nil {
		return true
	}
	ones, _ := r.Dst.Mask.Size()
	return ones == 0 && r.Dst.IP.IsUnspecified()
}

// link takes in one link message, and says whether the link went up or down
// by it.
func (inv *inventory) link(u netlink.LinkUpdate) bool {
	index := int(u.Index)
	// Messages of family AF_BRIDGE tell of bridge ports and lack the rest.
	if u.Family != unix.AF_UNSPEC {
		return false
	}
	before, known := inv.links[index]
	if u.Header.Type == unix.RTM_DELLINK {
		delete(inv.links, index)
		delete(inv.addresses, index)
		inv.stale = true
		return known
	}
	inv.links[index] = u.Link
	moved := known && isUp(before.Attrs()) != isUp(u.Attrs())
	// The kernel drops the routes of a link that goes down without a message
	// for each.
	inv.stale = inv.stale || moved
	return moved
}

func isUp(a *netlink.LinkAttrs) bool {
	return a.Flags&net.FlagUp != 0 && a.RawFlags&unix.IFF_LOWER_UP != 0 && a.OperState != netlink.OperDown
}

// address takes in one address, new, with other flags, or gone.
func (inv *inventory) address(index int, n net.IPNet, flags int, present bool) {
	ip, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return
	}
	ones, _ := n.Mask.Size()
	p := netip.PrefixFrom(ip.Unmap(), ones)
	if !present {
		delete(inv.addresses[index], p)
		return
	}
	if inv.addresses[index] == nil {
		inv.addresses[index] = map[netip.Prefix]int{}
	}
	inv.addresses[index][p] = flags
}

// snapshot returns all links, by index.
func (inv *inventory) snapshot() []Link {
	out := make([]Link, 0, len(inv.links))
	for _, index := range slices.Sorted(maps.Keys(inv.links)) {
		l := inv.describe(inv.links[index])
		l.Addresses = slices.SortedFunc(maps.Keys(inv.addresses[index]), netip.Prefix.Compare)
		for _, p := range l.Addresses {
			if inv.addresses[index][p]&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
				l.Tentative = append(l.Tentative, p.Addr())
			}
		}
		for _, r := range inv.defaults {
			addDefault(&l, r)
		}
		out = append(out, l)
	}
	return out
}

func (inv *inventory) describe(nl netlink.Link) Link {
	a := nl.Attrs()
	mac, _ := macFrom(a.HardwareAddr)
	return Link{
		Index:    a.Index,
		Name:     a.Name,
		MAC:      mac,
		Kind:     nl.Type(),
		Up:       isUp(a),
		Loopback: a.Flags&net.FlagLoopback != 0,
		NoARP:    a.RawFlags&unix.IFF_NOARP != 0,
		Enslaved: inv.enslaved(a.MasterIndex),
	}
}

// enslaved says whether the master takes over its members' frames. A VRF is a
// master too, but only of routing.
func (inv *inventory) enslaved(master int) bool {
	if master == 0 {
		return false
	}
	m, ok := inv.links[master]
	return !ok || m.Type() != "vrf"
}

func addDefault(l *Link, r netlink.Route) {
	via := func(index int, gw net.IP) {
		if index != l.Index {
			return
		}
		if r.Family == netlink.FAMILY_V4 {
			l.DefaultRoute4 = true
		} else {
			l.DefaultRoute6 = true
		}
		ip, _ := netip.AddrFromSlice(gw)
		l.DefaultRoutes = append(l.DefaultRoutes, DefaultRoute{
			IPv4: r.Family == netlink.FAMILY_V4, Gateway: ip.Unmap(), Metric: r.Priority,
		})
		if ip.IsValid() && !slices.Contains(l.Gateways, ip.Unmap()) {
			l.Gateways = append(l.Gateways, ip.Unmap())
		}
	}
	if len(r.MultiPath) == 0 {
		via(r.LinkIndex, r.Gw)
	}
	for _, hop := range r.MultiPath {
		via(hop.LinkIndex, hop.Gw)
	}
}
