// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net/netip"
)

// Last octets of the hosts on the nodes' segment. Nodes follow from nodeOffset+1 on; hosts added by tests take what is
// between the client and the control plane; addresses from 100 on belong to pools.
const (
	routerOffset    = 1
	controlOffset   = 10
	clientOffset    = 2
	addedHostOffset = 3
	nodeOffset      = 10
	farOffset       = 10
	maxNodes        = 80
)

// Ranges that are the same in every lab, because they never leave it.
const (
	podCIDRs     = "10.244.0.0/16,fd00:244::/48"
	serviceCIDRs = "10.96.0.0/16,fd00:96::/112"
	apiService   = "10.96.0.1"
	apiPort      = 6443
)

// documented is the segment of a lab whose hosts have the addresses that documents use (RFC 5737, RFC 3849).
const (
	documented4 = "192.0.2.0/24"
	documented6 = "2001:db8::/64"
)

// plan derives every address of a lab from its number (0 to 255).
type plan struct {
	id         int
	documented bool // the nodes' segment is the one that documents use
}

// segment returns the nodes' segment, IPv4 and IPv6.
func (p plan) segment() [2]netip.Prefix {
	if p.documented {
		return [2]netip.Prefix{netip.MustParsePrefix(documented4), netip.MustParsePrefix(documented6)}
	}
	return [2]netip.Prefix{
		netip.MustParsePrefix(fmt.Sprintf("10.240.%d.0/24", p.id)),
		netip.MustParsePrefix(fmt.Sprintf("fd00:240:%d::/64", p.id)),
	}
}

// on returns both addresses of the host with the given last octet on the segment. The last group of the IPv6 address
// reads like the last octet of the IPv4 address.
func (p plan) on(offset int) [2]netip.Addr {
	return p.inSegment(byte(offset), fmt.Sprint(offset))
}

// inSegment returns the addresses of the segment that end in the given octet and, for IPv6, in the given text.
func (p plan) inSegment(octet byte, group string) [2]netip.Addr {
	segment := p.segment()
	v4 := segment[0].Addr().As4()
	v4[3] = octet
	return [2]netip.Addr{netip.AddrFrom4(v4), netip.MustParseAddr(segment[1].Addr().String() + group)}
}

// farOn is on for the far network, which lies behind the router.
func (p plan) farOn(offset int) [2]netip.Addr {
	return [2]netip.Addr{
		netip.AddrFrom4([4]byte{10, 241, byte(p.id), byte(offset)}),
		netip.MustParseAddr(fmt.Sprintf("fd00:241:%d::%d", p.id, offset)),
	}
}

// farNetwork returns the far network, IPv4 and IPv6.
func (p plan) farNetwork() [2]netip.Prefix {
	network := p.farOn(0)
	return [2]netip.Prefix{netip.PrefixFrom(network[0], 24), netip.PrefixFrom(network[1], 64)}
}

// pods returns the pod networks of node number n (from 1).
func (p plan) pods(n int) [2]netip.Prefix {
	return [2]netip.Prefix{
		netip.MustParsePrefix(fmt.Sprintf("10.244.%d.0/24", n)),
		netip.MustParsePrefix(fmt.Sprintf("fd00:244:0:%d::/64", n)),
	}
}

// pod returns both addresses of pod number k (2 to 254) on node number n.
func (p plan) pod(n, k int) [2]netip.Addr {
	return [2]netip.Addr{
		netip.AddrFrom4([4]byte{10, 244, byte(n), byte(k)}),
		netip.MustParseAddr(fmt.Sprintf("fd00:244:0:%d::%d", n, k)),
	}
}

// pool returns the addresses of the segment that no host of the lab ever takes: what an AddressPool may hold.
func (p plan) pool() [2]Range {
	first, last := p.inSegment(100, "1000"), p.inSegment(250, "1fff")
	return [2]Range{{First: first[0], Last: last[0]}, {First: first[1], Last: last[1]}}
}

// Range is an inclusive range of addresses of one family.
type Range struct{ First, Last netip.Addr }

// String gives the range as first-last, the form that AddressPool takes.
func (r Range) String() string { return r.First.String() + "-" + r.Last.String() }
