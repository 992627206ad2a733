// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
)

func arpFamily() family {
	return family{
		name:      "ARP",
		etherType: int(ethernet.EtherTypeARP),
		parse:     parseARP,
		reply:     arpReply,
		announce:  arpAnnouncement,
		probe:     arpProbe,
		request:   arpRequest,
	}
}

// parseARP reads an Ethernet frame that carries ARP.
func parseARP(frame []byte) (message, error) {
	if len(frame) < ethernetHeader {
		return message{}, fmt.Errorf("%w: %d bytes", errMalformed, len(frame))
	}
	var p arp.Packet
	if err := p.UnmarshalBinary(frame[ethernetHeader:]); err != nil {
		return message{}, fmt.Errorf("%w: %w", errMalformed, err)
	}
	from, ok := macFrom(p.SenderHardwareAddr)
	if !ok || !from.unicast() {
		return message{}, fmt.Errorf("%w: sender hardware address %v is no station", errMalformed, p.SenderHardwareAddr)
	}
	if !p.SenderIP.Is4() || !p.TargetIP.Is4() {
		return message{}, fmt.Errorf("%w: protocol addresses of %d bytes", errMalformed, p.IPLength)
	}
	m := message{from: from, replyTo: p.SenderIP}
	if !p.SenderIP.IsUnspecified() {
		m.claims = p.SenderIP
	}
	switch p.Operation {
	case arp.OperationRequest:
		m.asks = p.TargetIP
	case arp.OperationReply:
	default:
		return message{}, fmt.Errorf("%w: operation %d", errMalformed, p.Operation)
	}
	return m, nil
}

// arpReply answers q, unicast to the station that asked.
func arpReply(q message, own MAC) ([]byte, error) {
	return arpFrame(arp.OperationReply, own, q.asks, q.from, q.replyTo, q.from)
}

// arpAnnouncement is the ARP Announcement of RFC 5227 §2.3 in request form, or
// the gratuitous reply. In reply form the target hardware address is the
// sender's: Linux takes a reply for gratuitous only then, and lets gratuitous
// ones replace an entry younger than its locktime.
func arpAnnouncement(addr netip.Addr, own MAC, form Form) ([]byte, error) {
	if form == FormReply {
		return arpFrame(arp.OperationReply, own, addr, own, addr, broadcast())
	}
	return arpFrame(arp.OperationRequest, own, addr, MAC{}, addr, broadcast())
}

// arpProbe is the ARP Probe of RFC 5227 §2.1.1: the sender address is zero so
// that nobody's cache is polluted.
func arpProbe(addr netip.Addr, own MAC) ([]byte, error) {
	return arpRequest(addr, netip.IPv4Unspecified(), own)
}

// arpRequest is the question of RFC 826, which also tells the one who answers
// where source is.
func arpRequest(addr, source netip.Addr, own MAC) ([]byte, error) {
	return arpFrame(arp.OperationRequest, own, source, MAC{}, addr, broadcast())
}

func arpFrame(op arp.Operation, own MAC, sender netip.Addr, targetMAC MAC, target netip.Addr, dst MAC) ([]byte, error) {
	p, err := arp.NewPacket(op, net.HardwareAddr(own[:]), sender, net.HardwareAddr(targetMAC[:]), target)
	if err != nil {
		return nil, fmt.Errorf("building ARP packet for %s: %w", target, err)
	}
	payload, err := p.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("building ARP packet for %s: %w", target, err)
	}
	return ethernetFrame(dst, own, ethernet.EtherTypeARP, payload)
}

func ethernetFrame(dst, src MAC, t ethernet.EtherType, payload []byte) ([]byte, error) {
	f := ethernet.Frame{
		Destination: net.HardwareAddr(dst[:]),
		Source:      net.HardwareAddr(src[:]),
		EtherType:   t,
		Payload:     payload,
	}
	b, err := f.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("building Ethernet frame: %w", err)
	}
	return b, nil
}
