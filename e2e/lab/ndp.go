// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/ndp"
)

// Layout of the IPv6 header (RFC 8200, 3), as far as a capture of neighbour advertisements needs it.
const (
	ipv6HeaderLength  = 40
	ipv6NextHeaderAt  = 6
	ipv6DestinationAt = 24
	protocolICMPv6    = 58
)

// Advertisement is one neighbour advertisement (RFC 4861, 4.4) that a host received, or sent.
type Advertisement struct {
	Time        time.Time
	Source      net.HardwareAddr // of the frame
	Destination netip.Addr       // of the packet; multicast for unsolicited ones
	Target      netip.Addr
	TargetHW    net.HardwareAddr // nil without the option
	Solicited   bool
	Override    bool
}

// NDPCapture records the neighbour advertisements at eth0 of a host. What it says of an address is about advertisements
// whose target it is.
type NDPCapture = Capture[Advertisement]

// CaptureNDP starts a capture on a host of the lab. Stop it before the lab.
func (l *Lab) CaptureNDP(host string) (*NDPCapture, error) {
	c, err := startCapture(l, host, ethernet.EtherTypeIPv6, parseAdvertisement, func(a Advertisement) netip.Addr { return a.Target })
	if err != nil {
		return nil, fmt.Errorf("capture NDP on host %q: %w", host, err)
	}
	return c, nil
}

func parseAdvertisement(frame *ethernet.Frame) (Advertisement, bool) {
	p := frame.Payload
	if len(p) <= ipv6HeaderLength || p[ipv6NextHeaderAt] != protocolICMPv6 {
		return Advertisement{}, false
	}
	message, err := ndp.ParseMessage(p[ipv6HeaderLength:])
	if err != nil {
		return Advertisement{}, false // some other ICMPv6
	}
	na, ok := message.(*ndp.NeighborAdvertisement)
	if !ok {
		return Advertisement{}, false
	}
	destination, _ := netip.AddrFromSlice(p[ipv6DestinationAt:ipv6HeaderLength])
	a := Advertisement{
		Time: time.Now(), Source: frame.Source, Destination: destination, Target: na.TargetAddress,
		Solicited: na.Solicited, Override: na.Override,
	}
	for _, option := range na.Options {
		if o, ok := option.(*ndp.LinkLayerAddress); ok && o.Direction == ndp.Target {
			a.TargetHW = o.Addr
		}
	}
	return a, true
}
