// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routerSysctls make a host a router that spreads flows over paths of equal cost as switches do: by addresses and ports.
func routerSysctls() map[string]string {
	values := forwardingSysctls()
	values["net/ipv4/fib_multipath_hash_policy"] = "1"
	values["net/ipv6/fib_multipath_hash_policy"] = "1"
	return values
}

// AddRouter puts one more router between the segment and the far network, and a host on the far network whose traffic
// with the nodes goes through that router, there and back. Names of hosts are those of the lab's namespaces.
func (l *Lab) AddRouter(name, behind string) error {
	if err := l.AddHost(name); err != nil {
		return err
	}
	router, err := l.host(name)
	if err != nil {
		return err
	}
	if err := router.sysctl(routerSysctls()); err != nil {
		return err
	}
	offset := int(router.addrs[0].As4()[3])
	own, other := l.plan.farOn(2*farOffset+offset), l.plan.farOn(4*farOffset+offset)
	if err := l.plug(router, "eth1", farBridge, "far-"+name); err != nil {
		return err
	}
	if err := router.assign("eth1", own, l.plan.farNetwork()); err != nil {
		return err
	}
	if err := l.addFarHost(behind, other, own); err != nil {
		return err
	}
	there := [2]netip.Prefix{}
	for i, a := range other {
		there[i] = netip.PrefixFrom(a, a.BitLen())
	}
	for _, node := range l.Nodes() {
		h, err := l.host(node)
		if err != nil {
			return err
		}
		if err := h.route("eth0", there, router.addrs); err != nil {
			return err
		}
	}
	return nil
}

// addFarHost makes a host on the far network.
func (l *Lab) addFarHost(name string, addrs, gateway [2]netip.Addr) error {
	h, err := l.addHost(name)
	if err != nil {
		return err
	}
	if err := l.plug(h, "eth0", farBridge, name); err != nil {
		return err
	}
	h.addrs = addrs
	if err := h.assign("eth0", h.addrs, l.plan.farNetwork()); err != nil {
		return err
	}
	return h.defaultRoute("eth0", gateway)
}

// NextHops returns where a host sends the packets of exactly this destination, from its main routing table: the gateways
// in their order, none without such a route.
func (l *Lab) NextHops(host string, destination netip.Prefix) ([]netip.Addr, error) {
	family := netlink.FAMILY_V4
	if destination.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	var hops []netip.Addr
	err := l.Netlink(host, func(handle *netlink.Handle) error {
		want := &netlink.Route{Dst: ipNet(destination), Table: unix.RT_TABLE_MAIN}
		routes, err := handle.RouteListFiltered(family, want, netlink.RT_FILTER_DST|netlink.RT_FILTER_TABLE)
		if err != nil {
			return fmt.Errorf("list the routes of host %q: %w", host, err)
		}
		for _, r := range routes {
			hops = append(hops, gateways(r)...)
		}
		return nil
	})
	slices.SortFunc(hops, netip.Addr.Compare)
	return slices.Compact(hops), err
}

// gateways returns those of all paths of a route, also of another family than the route's (RFC 5549).
func gateways(r netlink.Route) []netip.Addr {
	paths := r.MultiPath
	if len(paths) == 0 {
		paths = []*netlink.NexthopInfo{{Gw: r.Gw, Via: r.Via}}
	}
	var found []netip.Addr
	for _, path := range paths {
		ip := path.Gw
		if via, ok := path.Via.(*netlink.Via); ok {
			ip = net.IP(via.Addr)
		}
		if a, ok := netip.AddrFromSlice(ip); ok {
			found = append(found, a.Unmap())
		}
	}
	return found
}
