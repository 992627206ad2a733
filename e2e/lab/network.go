// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Bridges of the switch: the nodes' segment, and the network behind the router.
const (
	segmentBridge = "segment"
	farBridge     = "far-net"
)

// buildNetwork makes all hosts of the lab, cables and routes.
func (l *Lab) buildNetwork() error {
	if err := l.addSwitch(); err != nil {
		return err
	}
	stations := map[string]int{Router: routerOffset, ControlPlane: controlOffset, Client: clientOffset}
	for n := 1; n <= l.cfg.Nodes; n++ {
		stations[NodeName(n)] = nodeOffset + n
	}
	for name, offset := range stations {
		if err := l.addStation(name, offset); err != nil {
			return err
		}
	}
	if err := l.addFarNetwork(); err != nil {
		return err
	}
	for n := 1; n <= l.cfg.Nodes; n++ {
		if err := l.routePodNetworks(n); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) addHost(name string) (*host, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.hosts[name]; ok {
		return nil, fmt.Errorf("the lab has a host %q already", name)
	}
	h, err := newHost(l.id, name)
	if h != nil {
		l.hosts[name] = h
	}
	return h, err
}

// addSwitch makes the switch. Its own IPv6 is off, so that it never speaks; snooping is off, so that it never learns
// who wants which group.
func (l *Lab) addSwitch() error {
	sw, err := l.addHost(switchHost)
	if err != nil {
		return err
	}
	if err := sw.sysctl(map[string]string{"net/ipv6/conf/all/disable_ipv6": "1", "net/ipv6/conf/default/disable_ipv6": "1"}); err != nil {
		return err
	}
	for _, name := range []string{segmentBridge, farBridge} {
		snooping := false
		bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}, MulticastSnooping: &snooping}
		if err := sw.link.LinkAdd(bridge); err != nil {
			return fmt.Errorf("make bridge %q: %w", name, err)
		}
		if err := sw.up(name); err != nil {
			return err
		}
	}
	return nil
}

// addStation makes a host on the segment. Its default route goes through the router.
func (l *Lab) addStation(name string, offset int) error {
	h, err := l.addHost(name)
	if err != nil {
		return err
	}
	if name != ControlPlane && name != Client && offset >= nodeOffset || name == Router {
		if err := h.sysctl(forwardingSysctls()); err != nil {
			return err
		}
	}
	if err := l.plug(h, "eth0", segmentBridge, name); err != nil {
		return err
	}
	h.addrs = l.plan.on(offset)
	if err := h.assign("eth0", h.addrs, l.plan.segment()); err != nil {
		return err
	}
	if name == Router {
		return nil
	}
	return h.defaultRoute("eth0", l.plan.on(routerOffset))
}

// AddHost adds a host with its own addresses to the segment, for a station the cluster knows nothing of.
func (l *Lab) AddHost(name string) error {
	l.mu.Lock()
	offset := addedHostOffset + l.addedHosts
	l.addedHosts++
	l.mu.Unlock()
	if offset > nodeOffset {
		return fmt.Errorf("no address left for host %q: at most %d can be added", name, nodeOffset-addedHostOffset+1)
	}
	return l.addStation(name, offset)
}

// AddAddress gives a host one more address on eth0, as another user of that address would.
func (l *Lab) AddAddress(host string, prefix netip.Prefix) error {
	h, err := l.host(host)
	if err != nil {
		return err
	}
	return h.assign("eth0", [2]netip.Addr{prefix.Addr()}, [2]netip.Prefix{prefix})
}

// RemoveAddress takes away what AddAddress gave.
func (l *Lab) RemoveAddress(host string, prefix netip.Prefix) error {
	h, err := l.host(host)
	if err != nil {
		return err
	}
	link, err := h.link.LinkByName("eth0")
	if err != nil {
		return fmt.Errorf("find eth0 of host %q: %w", host, err)
	}
	if err := h.link.AddrDel(link, &netlink.Addr{IPNet: ipNet(prefix)}); err != nil {
		return fmt.Errorf("remove %s from host %q: %w", prefix, host, err)
	}
	return nil
}

func (l *Lab) addFarNetwork() error {
	router, err := l.host(Router)
	if err != nil {
		return err
	}
	far, err := l.addHost(Far)
	if err != nil {
		return err
	}
	nets := [2]netip.Prefix{}
	for i, a := range l.plan.farOn(routerOffset) {
		nets[i] = netip.PrefixFrom(a, l.plan.segment()[i].Bits()).Masked()
	}
	if err := l.plug(router, "eth1", farBridge, "far-router"); err != nil {
		return err
	}
	if err := router.assign("eth1", l.plan.farOn(routerOffset), nets); err != nil {
		return err
	}
	if err := l.plug(far, "eth0", farBridge, Far); err != nil {
		return err
	}
	far.addrs = l.plan.farOn(farOffset)
	if err := far.assign("eth0", far.addrs, nets); err != nil {
		return err
	}
	return far.defaultRoute("eth0", l.plan.farOn(routerOffset))
}

// plug lays a cable from a host to a bridge of the switch; port is the name of its end there. Neither end is ever in
// the caller's namespace.
func (l *Lab) plug(h *host, device, bridge, port string) error {
	sw, err := l.host(switchHost)
	if err != nil {
		return err
	}
	master, err := sw.link.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("find bridge %q: %w", bridge, err)
	}
	cable := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: port, MasterIndex: master.Attrs().Index},
		PeerName:      device,
		PeerNamespace: netlink.NsFd(h.ns),
	}
	if err := sw.link.LinkAdd(cable); err != nil {
		return fmt.Errorf("plug host %q into %q: %w", h.name, bridge, err)
	}
	if err := h.up(device); err != nil {
		return err
	}
	return sw.up(port)
}

// assign gives a link addresses, with the length of the given networks. Zero addresses are left out.
func (h *host) assign(device string, addrs [2]netip.Addr, nets [2]netip.Prefix) error {
	link, err := h.link.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %q of host %q: %w", device, h.name, err)
	}
	for i, a := range addrs {
		if !a.IsValid() {
			continue
		}
		prefix := netip.PrefixFrom(a, nets[i].Bits())
		if err := h.link.AddrReplace(link, &netlink.Addr{IPNet: ipNet(prefix)}); err != nil {
			return fmt.Errorf("assign %s to %q of host %q: %w", prefix, device, h.name, err)
		}
	}
	return nil
}

func (h *host) defaultRoute(device string, gateways [2]netip.Addr) error {
	return h.route(device, [2]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, gateways)
}

// route sends both destinations through the gateways of their families; zero gateways mean on-link.
func (h *host) route(device string, destinations [2]netip.Prefix, gateways [2]netip.Addr) error {
	link, err := h.link.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %q of host %q: %w", device, h.name, err)
	}
	for i, dst := range destinations {
		r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(dst)}
		if gateways[i].IsValid() {
			r.Gw = gateways[i].AsSlice()
			r.SetFlag(netlink.FLAG_ONLINK)
		} else {
			r.Scope = netlink.SCOPE_LINK
		}
		if err := h.link.RouteReplace(r); err != nil {
			return fmt.Errorf("route %s via %s in host %q: %w", dst, gateways[i], h.name, err)
		}
	}
	return nil
}

// routePodNetworks tells node n the way to the pods of all others, which a network plugin would do.
func (l *Lab) routePodNetworks(n int) error {
	h, err := l.host(NodeName(n))
	if err != nil {
		return err
	}
	for other := 1; other <= l.cfg.Nodes; other++ {
		if other == n {
			continue
		}
		if err := h.route("eth0", l.plan.pods(other), l.plan.on(nodeOffset+other)); err != nil {
			return err
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
