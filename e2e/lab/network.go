// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
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
	if l.cfg.HostsOnly {
		return nil
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
	if l.stopped {
		return nil, errStopped
	}
	if _, ok := l.hosts[name]; ok {
		return nil, fmt.Errorf("the lab has a host %q already", name)
	}
	h, err := newHost(l.id, name)
	l.hosts[name] = h
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
		if err := sw.netlink(func(handle *netlink.Handle) error { return handle.LinkAdd(bridge) }); err != nil {
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
	switch {
	case name == Router:
		err = h.sysctl(routerSysctls())
	case offset > nodeOffset:
		err = h.sysctl(forwardingSysctls())
	}
	if err != nil {
		return err
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
	if offset >= controlOffset {
		return fmt.Errorf("no address left for host %q: at most %d can be added", name, controlOffset-addedHostOffset)
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
	return h.onDevice("eth0", func(handle *netlink.Handle, link netlink.Link) error {
		if err := handle.AddrDel(link, &netlink.Addr{IPNet: ipNet(prefix)}); err != nil {
			return fmt.Errorf("remove %s: %w", prefix, err)
		}
		return nil
	})
}

func (l *Lab) addFarNetwork() error {
	router, err := l.host(Router)
	if err != nil {
		return err
	}
	if err := l.plug(router, "eth1", farBridge, "far-router"); err != nil {
		return err
	}
	own := l.plan.farOn(routerOffset)
	if err := router.assign("eth1", own, l.plan.farNetwork()); err != nil {
		return err
	}
	return l.addFarHost(Far, l.plan.farOn(farOffset), own)
}

// plug lays a cable from a host to a bridge of the switch; port is the name of its end there.
func (l *Lab) plug(h *host, device, bridge, port string) error {
	sw, err := l.host(switchHost)
	if err != nil {
		return err
	}
	return sw.layCable(port, bridge, h, device)
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
