// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
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
	cable := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: device}, PeerName: "eth0", PeerNamespace: netlink.NsFd(h.ns),
	}
	if err := n.host.link.LinkAdd(cable); err != nil {
		return fmt.Errorf("lay a cable to node %q: %w", n.name, err)
	}
	if err := h.up("eth0"); err != nil {
		return err
	}
	if err := n.host.up(device); err != nil {
		return err
	}
	single := [2]netip.Prefix{netip.PrefixFrom(p.Addr4, 32), netip.PrefixFrom(p.Addr6, 128)}
	if err := h.assign("eth0", h.addrs, single); err != nil {
		return err
	}
	if err := introduce(h, "eth0", n.host, device, podGateways()); err != nil {
		return err
	}
	if err := introduce(n.host, device, h, "eth0", h.addrs); err != nil {
		return err
	}
	if err := n.host.route(device, single, [2]netip.Addr{}); err != nil {
		return err
	}
	return h.defaultRoute("eth0", podGateways())
}

// introduce tells h that addrs are at the hardware address of the peer's device.
func introduce(h *host, device string, peer *host, peerDevice string, addrs [2]netip.Addr) error {
	link, err := h.link.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %q of host %q: %w", device, h.name, err)
	}
	peerLink, err := peer.link.LinkByName(peerDevice)
	if err != nil {
		return fmt.Errorf("find %q of host %q: %w", peerDevice, peer.name, err)
	}
	for _, a := range addrs {
		entry := &netlink.Neigh{
			LinkIndex: link.Attrs().Index, IP: net.IP(a.AsSlice()), HardwareAddr: peerLink.Attrs().HardwareAddr,
			State: netlink.NUD_PERMANENT,
		}
		if err := h.link.NeighSet(entry); err != nil {
			return fmt.Errorf("introduce %s to host %q: %w", a, h.name, err)
		}
	}
	return nil
}
