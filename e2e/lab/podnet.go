// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net/netip"
)

// podGateways are what pods route through. Nobody has these addresses: permanent neighbour entries lead to the node's
// end of the cable, so that neither side ever asks for a hardware address.
func podGateways() [2]netip.Addr {
	return [2]netip.Addr{netip.MustParseAddr("169.254.1.1"), netip.MustParseAddr("fe80::1")}
}

// plugPod makes the pod's namespace and lays its cable to the node: a host route on one side, a default route on the
// other.
func (l *Lab) plugPod(n *node, p *Pod) error {
	h, err := l.addHost(p.Host())
	if err != nil {
		return err
	}
	p.host = h
	h.addrs = [2]netip.Addr{p.Addr4, p.Addr6}
	device := fmt.Sprintf("pod%d", p.octet)
	if err := n.host.layCable(device, "", h, "eth0"); err != nil {
		return err
	}
	single := [2]netip.Prefix{netip.PrefixFrom(p.Addr4, 32), netip.PrefixFrom(p.Addr6, 128)}
	if err := h.assign("eth0", h.addrs, single); err != nil {
		return err
	}
	if err := h.introduce("eth0", n.host, device, podGateways()); err != nil {
		return err
	}
	if err := n.host.introduce(device, h, "eth0", h.addrs); err != nil {
		return err
	}
	if err := n.host.route(device, single, [2]netip.Addr{}); err != nil {
		return err
	}
	return h.defaultRoute("eth0", podGateways())
}
