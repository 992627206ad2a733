// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// netlink runs f with the host's handle, and keeps the host from going away meanwhile: a closed handle would silently
// act on the network of the caller.
func (h *host) netlink(f func(*netlink.Handle) error) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.link == nil {
		return h.gone()
	}
	return f(h.link)
}

// onDevice is netlink for one device of the host. Errors of f get the names of both.
func (h *host) onDevice(device string, f func(*netlink.Handle, netlink.Link) error) error {
	err := h.netlink(func(handle *netlink.Handle) error {
		link, err := handle.LinkByName(device)
		if err != nil {
			return err
		}
		return f(handle, link)
	})
	if err != nil {
		return fmt.Errorf("device %q of host %q: %w", device, h.name, err)
	}
	return nil
}

func (h *host) up(device string) error {
	return h.onDevice(device, func(handle *netlink.Handle, link netlink.Link) error { return handle.LinkSetUp(link) })
}

// layCable joins two hosts by a pair of devices and sets both up. Neither end is ever in the caller's namespace. bridge,
// if not empty, is the one of h that its end is plugged into.
func (h *host) layCable(device, bridge string, peer *host, peerDevice string) error {
	attrs := netlink.LinkAttrs{Name: device}
	lay := func(handle *netlink.Handle) error {
		if bridge != "" {
			master, err := handle.LinkByName(bridge)
			if err != nil {
				return fmt.Errorf("find bridge %q: %w", bridge, err)
			}
			attrs.MasterIndex = master.Attrs().Index
		}
		return peer.netlink(func(*netlink.Handle) error {
			return handle.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peerDevice, PeerNamespace: netlink.NsFd(peer.ns)})
		})
	}
	if err := h.netlink(lay); err != nil {
		return fmt.Errorf("lay a cable from host %q to host %q: %w", h.name, peer.name, err)
	}
	if err := peer.up(peerDevice); err != nil {
		return err
	}
	return h.up(device)
}

// assign gives a device addresses, with the length of the given networks. Zero addresses are left out.
func (h *host) assign(device string, addrs [2]netip.Addr, nets [2]netip.Prefix) error {
	return h.onDevice(device, func(handle *netlink.Handle, link netlink.Link) error {
		for i, a := range addrs {
			if !a.IsValid() {
				continue
			}
			prefix := netip.PrefixFrom(a, nets[i].Bits())
			if err := handle.AddrReplace(link, &netlink.Addr{IPNet: ipNet(prefix)}); err != nil {
				return fmt.Errorf("assign %s: %w", prefix, err)
			}
		}
		return nil
	})
}

func (h *host) defaultRoute(device string, gateways [2]netip.Addr) error {
	return h.route(device, [2]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, gateways)
}

// route sends both destinations through the gateways of their families; zero gateways mean on-link.
func (h *host) route(device string, destinations [2]netip.Prefix, gateways [2]netip.Addr) error {
	return h.onDevice(device, func(handle *netlink.Handle, link netlink.Link) error {
		for i, dst := range destinations {
			r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(dst)}
			if gateways[i].IsValid() {
				r.Gw = gateways[i].AsSlice()
				r.SetFlag(netlink.FLAG_ONLINK)
			} else {
				r.Scope = netlink.SCOPE_LINK
			}
			if err := handle.RouteReplace(r); err != nil {
				return fmt.Errorf("route %s via %s: %w", dst, gateways[i], err)
			}
		}
		return nil
	})
}

// introduce tells h for good that addrs are at the hardware address of the peer's device.
func (h *host) introduce(device string, peer *host, peerDevice string, addrs [2]netip.Addr) error {
	mac, err := peer.mac(peerDevice)
	if err != nil {
		return err
	}
	return h.onDevice(device, func(handle *netlink.Handle, link netlink.Link) error {
		for _, a := range addrs {
			entry := &netlink.Neigh{
				LinkIndex: link.Attrs().Index, IP: a.AsSlice(), HardwareAddr: mac, State: netlink.NUD_PERMANENT,
			}
			if err := handle.NeighSet(entry); err != nil {
				return fmt.Errorf("introduce %s: %w", a, err)
			}
		}
		return nil
	})
}

func (h *host) mac(device string) (net.HardwareAddr, error) {
	var mac net.HardwareAddr
	err := h.onDevice(device, func(_ *netlink.Handle, link netlink.Link) error {
		mac = link.Attrs().HardwareAddr
		return nil
	})
	return mac, err
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
