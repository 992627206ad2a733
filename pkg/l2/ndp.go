// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/ndp"
)

const (
	ipv6Header     = 40
	protocolICMPv6 = 58
)

func ndpFamily() family {
	return family{
		name:      "NDP",
		etherType: int(ethernet.EtherTypeIPv6),
		parse:     parseNDP,
		reply:     ndpReply,
		announce:  ndpAnnouncement,
		probe:     ndpProbe,
		request:   ndpRequest,
	}
}

// parseNDP reads an Ethernet frame that carries a neighbour solicitation or
// advertisement. It applies the validity rules of RFC 4861 §7.1 except for
// the checksum, which a sender on this same machine may have left to hardware.
func parseNDP(frame []byte) (message, error) {
	if len(frame) < ethernetHeader+ipv6Header {
		return message{}, fmt.Errorf("%w: %d bytes", errMalformed, len(frame))
	}
	from := MAC(frame[6:12])
	if !from.unicast() {
		return message{}, fmt.Errorf("%w: source %v is no station", errMalformed, from)
	}
	ip := frame[ethernetHeader:]
	src, dst := netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
	body := ip[ipv6Header:]
	size := int(binary.BigEndian.Uint16(ip[4:6]))
	if ip[0]>>4 != 6 || ip[6] != protocolICMPv6 || ip[7] != ndp.HopLimit || size > len(body) || src.IsMulticast() {
		return message{}, fmt.Errorf("%w: no ICMPv6 with hop limit %d", errMalformed, ndp.HopLimit)
	}
	// ICMPv6 code (second byte) must be zero, RFC 4861 §7.1.
	if size < 2 || body[1] != 0 {
		return message{}, fmt.Errorf("%w: ICMPv6 code or length", errMalformed)
	}
	msg, err := ndp.ParseMessage(body[:size])
	if err != nil {
		return message{}, fmt.Errorf("%w: %w", errMalformed, err)
	}
	switch msg := msg.(type) {
	case *ndp.NeighborSolicitation:
		return solicitation(msg, from, src, dst)
	case *ndp.NeighborAdvertisement:
		return advertisement(msg, from)
	default:
		return message{}, fmt.Errorf("%w: ICMPv6 %v", errMalformed, msg.Type())
	}
}

func solicitation(ns *ndp.NeighborSolicitation, from MAC, src, dst netip.Addr) (message, error) {
	lla, ok, err := linkLayer(ns.Options, ndp.Source)
	if err != nil {
		return message{}, err
	}
	m := message{asks: ns.TargetAddress, from: from, replyTo: src}
	if src.IsUnspecified() {
		if ok || !dst.IsMulticast() {
			return message{}, fmt.Errorf("%w: solicitation without source", errMalformed)
		}
		return m, nil
	}
	m.claims = src
	if ok {
		m.from = lla
	}
	return m, nil
}

func advertisement(na *ndp.NeighborAdvertisement, from MAC) (message, error) {
	lla, ok, err := linkLayer(na.Options, ndp.Target)
	if err != nil {
		return message{}, err
	}
	if ok {
		from = lla
	}
	return message{claims: na.TargetAddress, from: from}, nil
}

// linkLayer returns the first link-layer address option of the direction.
func linkLayer(options []ndp.Option, d ndp.Direction) (MAC, bool, error) {
	for _, o := range options {
		l, ok := o.(*ndp.LinkLayerAddress)
		if !ok || l.Direction != d {
			continue
		}
		m, ok := macFrom(l.Addr)
		if !ok || !m.unicast() {
			return MAC{}, false, fmt.Errorf("%w: link-layer address %v is no station", errMalformed, l.Addr)
		}
		return m, true, nil
	}
	return MAC{}, false, nil
}

// ndpReply answers q. An asker without an address (DAD) is answered to all
// nodes and without the solicited flag, RFC 4861 §7.2.4.
func ndpReply(q message, own MAC) ([]byte, error) {
	if q.replyTo.IsUnspecified() {
		return ndpAnnouncement(q.asks, own, FormRequest)
	}
	return ndpFrame(neighborAdvertisement(q.asks, own, true), own, q.asks, q.from, q.replyTo)
}

// ndpAnnouncement is the unsolicited advertisement of RFC 4861 §7.2.6. It has
// one form only; the override flag makes neighbours replace what they know.
func ndpAnnouncement(addr netip.Addr, own MAC, _ Form) ([]byte, error) {
	all := netip.IPv6LinkLocalAllNodes()
	return ndpFrame(neighborAdvertisement(addr, own, false), own, addr, multicastMAC(all), all)
}

// ndpProbe is the solicitation of duplicate address detection, RFC 4862
// §5.4.2: from the unspecified address, to the solicited-node group.
func ndpProbe(addr netip.Addr, own MAC) ([]byte, error) {
	return ndpSolicitation(&ndp.NeighborSolicitation{TargetAddress: addr}, netip.IPv6Unspecified(), own)
}

// ndpRequest is the solicitation of address resolution, RFC 4861 §7.2.2. With
// the source link-layer address in it, the answer comes to own without a
// question back.
func ndpRequest(addr, source netip.Addr, own MAC) ([]byte, error) {
	return ndpSolicitation(&ndp.NeighborSolicitation{
		TargetAddress: addr,
		Options:       []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: net.HardwareAddr(own[:])}},
	}, source, own)
}

// ndpSolicitation goes to the solicited-node group of its target.
func ndpSolicitation(ns *ndp.NeighborSolicitation, source netip.Addr, own MAC) ([]byte, error) {
	group, err := ndp.SolicitedNodeMulticast(ns.TargetAddress)
	if err != nil {
		return nil, fmt.Errorf("solicited-node group of %s: %w", ns.TargetAddress, err)
	}
	return ndpFrame(ns, own, source, multicastMAC(group), group)
}

func neighborAdvertisement(addr netip.Addr, own MAC, solicited bool) *ndp.NeighborAdvertisement {
	return &ndp.NeighborAdvertisement{
		Solicited:     solicited,
		Override:      true,
		TargetAddress: addr,
		Options:       []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: net.HardwareAddr(own[:])}},
	}
}

func ndpFrame(msg ndp.Message, own MAC, src netip.Addr, dstMAC MAC, dst netip.Addr) ([]byte, error) {
	icmp, err := ndp.MarshalMessageChecksum(msg, src, dst)
	if err != nil {
		return nil, fmt.Errorf("building ICMPv6 %v from %s to %s: %w", msg.Type(), src, dst, err)
	}
	packet := make([]byte, ipv6Header, ipv6Header+len(icmp))
	packet[0] = 6 << 4
	binary.BigEndian.PutUint16(packet[4:6], uint16(len(icmp)))
	packet[6], packet[7] = protocolICMPv6, ndp.HopLimit
	s, d := src.As16(), dst.As16()
	copy(packet[8:24], s[:])
	copy(packet[24:40], d[:])
	return ethernetFrame(dstMAC, own, ethernet.EtherTypeIPv6, append(packet, icmp...))
}

// multicastMAC maps an IPv6 group to its Ethernet group, RFC 2464 §7.
func multicastMAC(group netip.Addr) MAC {
	a := group.As16()
	return MAC{0x33, 0x33, a[12], a[13], a[14], a[15]}
}
