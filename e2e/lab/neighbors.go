// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// MAC returns the hardware address of a host's eth0.
func (l *Lab) MAC(host string) (net.HardwareAddr, error) {
	h, err := l.host(host)
	if err != nil {
		return nil, err
	}
	return h.mac("eth0")
}

// Neighbor returns the hardware address that a host has for an address, by ARP or NDP, and nil if it has none or got no
// answer.
func (l *Lab) Neighbor(host string, addr netip.Addr) (net.HardwareAddr, error) {
	var mac net.HardwareAddr
	err := l.neighbors(host, func(_ *netlink.Handle, entry netlink.Neigh) error {
		if known, ok := netip.AddrFromSlice(entry.IP); ok && known.Unmap() == addr && entry.State&netlink.NUD_FAILED == 0 {
			mac = entry.HardwareAddr
		}
		return nil
	})
	return mac, err
}

// FlushNeighbors makes a host forget all hardware addresses that it has asked for, as one that has just booted.
func (l *Lab) FlushNeighbors(host string) error {
	return l.neighbors(host, func(handle *netlink.Handle, entry netlink.Neigh) error {
		if entry.State&(netlink.NUD_PERMANENT|netlink.NUD_NOARP) != 0 {
			return nil
		}
		if err := handle.NeighDel(&entry); err != nil {
			return fmt.Errorf("flush neighbour %s: %w", entry.IP, err)
		}
		return nil
	})
}

// neighbors calls f with every entry of the neighbour table of a host's eth0.
func (l *Lab) neighbors(host string, f func(*netlink.Handle, netlink.Neigh) error) error {
	h, err := l.host(host)
	if err != nil {
		return err
	}
	return h.onDevice("eth0", func(handle *netlink.Handle, link netlink.Link) error {
		entries, err := handle.NeighList(link.Attrs().Index, netlink.FAMILY_ALL)
		if err != nil {
			return fmt.Errorf("list neighbours: %w", err)
		}
		for _, e := range entries {
			if err := f(handle, e); err != nil {
				return err
			}
		}
		return nil
	})
}
