// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
)

// ARPSeen is one ARP packet that a host received, or sent.
type ARPSeen struct {
	Time     time.Time
	Source   net.HardwareAddr // of the frame
	Reply    bool
	SenderHW net.HardwareAddr
	SenderIP netip.Addr
	TargetHW net.HardwareAddr
	TargetIP netip.Addr
}

// Gratuitous says whether nobody asked for the packet: it announces the sender's own address (RFC 5944, 4.6).
func (a ARPSeen) Gratuitous() bool { return a.SenderIP == a.TargetIP }

// ARPCapture records the ARP packets at eth0 of a host. What it says of an address is about packets whose sender claims it.
type ARPCapture = Capture[ARPSeen]

// CaptureARP starts a capture on a host of the lab. Stop it before the lab.
func (l *Lab) CaptureARP(host string) (*ARPCapture, error) {
	c, err := startCapture(l, host, ethernet.EtherTypeARP, parseARP, func(p ARPSeen) netip.Addr { return p.SenderIP })
	if err != nil {
		return nil, fmt.Errorf("capture ARP on host %q: %w", host, err)
	}
	return c, nil
}

func parseARP(frame *ethernet.Frame) (ARPSeen, bool) {
	var p arp.Packet
	if p.UnmarshalBinary(frame.Payload) != nil {
		return ARPSeen{}, false
	}
	return ARPSeen{
		Time: time.Now(), Source: frame.Source, Reply: p.Operation == arp.OperationReply,
		SenderHW: p.SenderHardwareAddr, SenderIP: p.SenderIP, TargetHW: p.TargetHardwareAddr, TargetIP: p.TargetIP,
	}, true
}
