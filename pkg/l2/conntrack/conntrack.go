// SPDX-License-Identifier: Apache-2.0

// Package conntrack drops the kernel's memory of UDP flows to addresses.
//
// A machine that takes an address over may still remember flows to it from
// before (it had the address earlier, or forwarded for another), translated to
// endpoints that are gone. TCP recovers by itself: a new connection is a new
// flow. A UDP client that keeps its port does not, for as long as it sends.
// It tells, too, for how long flows are remembered. The package must not know who
// has an address, or why.
package conntrack

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// FlushUDP deletes all UDP flows whose original destination is one of addrs,
// and returns how many there were. The table is read once per family however
// many addresses there are. It takes CAP_NET_ADMIN.
func FlushUDP(addrs ...netip.Addr) (int, error) {
	wanted := destinations{}
	families := map[netlink.InetFamily]struct{}{}
	for _, a := range addrs {
		a = a.Unmap()
		wanted[a] = struct{}{}
		if a.Is4() {
			families[unix.AF_INET] = struct{}{}
		} else {
			families[unix.AF_INET6] = struct{}{}
		}
	}
	total := 0
	for f := range families {
		n, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, f, wanted)
		total += int(n)
		if err != nil {
			return total, fmt.Errorf("deleting UDP flows to %d addresses: %w", len(wanted), err)
		}
	}
	return total, nil
}

// defaultTimeout is how long the kernel remembers a UDP flow unless told otherwise.
const defaultTimeout = 120 * time.Second

// UDPTimeout returns how long the kernel remembers a UDP flow after its last
// packet, in either direction. It is the longer of the times for flows with and
// without answers (net.netfilter.nf_conntrack_udp_timeout_stream and
// nf_conntrack_udp_timeout), or the kernel's default where they cannot be read.
func UDPTimeout() time.Duration {
	var longest time.Duration
	for _, name := range []string{"nf_conntrack_udp_timeout_stream", "nf_conntrack_udp_timeout"} {
		text, err := os.ReadFile("/proc/sys/net/netfilter/" + name)
		if err != nil {
			continue
		}
		if seconds, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 31); err == nil {
			longest = max(longest, time.Duration(seconds)*time.Second)
		}
	}
	if longest == 0 {
		return defaultTimeout
	}
	return longest
}

// destinations selects UDP flows by original destination.
type destinations map[netip.Addr]struct{}

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (d destinations) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	if flow.Forward.Protocol != unix.IPPROTO_UDP {
		return false
	}
	dst, ok := netip.AddrFromSlice(flow.Forward.DstIP)
	if !ok {
		return false
	}
	_, ok = d[dst.Unmap()]
	return ok
}
