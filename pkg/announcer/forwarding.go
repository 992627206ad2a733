// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// looksForwarded tells whether this node translates what is sent to the port of the address, whatever kube-proxy's mode.
//
// A connection from the node itself proves nothing: where the node does not translate, the packet leaves for whichever
// node has the address now, which answers it. So the packet is bound to the loopback interface, which it cannot leave
// whatever its translation (coming in there with a source address of the node's own, it is dropped), and then the kernel
// is asked what it made of it. If its connection tracking expects the answer from the address itself, nobody has
// translated. No entry means that the packet was rejected or dropped before (no ready endpoint, source ranges) or
// translated earlier (at the socket): somebody minds the address.
func looksForwarded(_ context.Context, addr netip.Addr, p portOf) (bool, error) {
	from, err := sendOverLoopback(addr, p)
	if err != nil {
		return false, fmt.Errorf("check of %v port %d/%s: %w", addr, p.port, p.protocol, err)
	}
	if !from.IsValid() {
		return true, nil
	}
	made := flow{from: from, to: netip.AddrPortFrom(addr, p.port), protocol: protocolNumber(p.protocol)}
	answerFrom, err := made.answerFrom()
	if errors.Is(err, unix.ENOENT) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("check of %v port %d/%s: connection tracking: %w", addr, p.port, p.protocol, err)
	}
	// It would otherwise stay for two minutes. That it may be gone already is as good.
	_ = made.forget()
	return answerFrom != addr, nil
}

func protocolNumber(p corev1.Protocol) uint8 {
	if p == corev1.ProtocolUDP {
		return unix.IPPROTO_UDP
	}
	return unix.IPPROTO_TCP
}

// sendOverLoopback sends one packet, a SYN or an empty datagram, and returns what it was sent from; not valid if the
// kernel refused it at once, as it does on behalf of a packet filter.
func sendOverLoopback(addr netip.Addr, p portOf) (netip.AddrPort, error) {
	family, kind := unix.AF_INET, unix.SOCK_STREAM
	if addr.Is6() {
		family = unix.AF_INET6
	}
	if p.protocol == corev1.ProtocolUDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer unix.Close(fd)
	if err := unix.BindToDevice(fd, "lo"); err != nil {
		return netip.AddrPort{}, err
	}
	err = unix.Connect(fd, sockaddrOf(netip.AddrPortFrom(addr, p.port)))
	if err == nil && kind == unix.SOCK_DGRAM {
		_, err = unix.Write(fd, nil)
	}
	switch {
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.EPERM):
		return netip.AddrPort{}, nil
	case err != nil && !errors.Is(err, unix.EINPROGRESS):
		return netip.AddrPort{}, err
	}
	own, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return addrPortOf(own), nil
}

func sockaddrOf(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func addrPortOf(s unix.Sockaddr) netip.AddrPort {
	switch s := s.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(s.Addr), uint16(s.Port))
	}
	return netip.AddrPort{}
}

// flow is one entry of the kernel's connection tracking, by its original direction.
type flow struct {
	from, to netip.AddrPort
	protocol uint8
}

// answerFrom returns the address that the kernel expects the answers of the flow from; unix.ENOENT if it has no such
// flow.
func (f flow) answerFrom() (netip.Addr, error) {
	messages, err := f.request(nl.IPCTNL_MSG_CT_GET, unix.NLM_F_ACK).Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil {
		return netip.Addr{}, err
	}
	if len(messages) == 0 || len(messages[0]) < nl.SizeofNfgenmsg {
		return netip.Addr{}, unix.ENOENT
	}
	srcType := uint16(nl.CTA_IP_V4_SRC)
	if f.to.Addr().Is6() {
		srcType = nl.CTA_IP_V6_SRC
	}
	b := messages[0][nl.SizeofNfgenmsg:]
	for _, attr := range []uint16{nl.CTA_TUPLE_REPLY, nl.CTA_TUPLE_IP, srcType} {
		if b, err = attribute(b, attr); err != nil {
			return netip.Addr{}, err
		}
	}
	addr, ok := netip.AddrFromSlice(b)
	if !ok {
		return netip.Addr{}, fmt.Errorf("answer with an address of %d bytes", len(b))
	}
	return addr, nil
}

// forget removes the flow.
func (f flow) forget() error {
	_, err := f.request(nl.IPCTNL_MSG_CT_DELETE, unix.NLM_F_ACK).Execute(unix.NETLINK_NETFILTER, 0)
	return err
}

func (f flow) request(kind, flags int) *nl.NetlinkRequest {
	family, src, dst := unix.AF_INET, nl.CTA_IP_V4_SRC, nl.CTA_IP_V4_DST
	if f.to.Addr().Is6() {
		family, src, dst = unix.AF_INET6, nl.CTA_IP_V6_SRC, nl.CTA_IP_V6_DST
	}
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|kind, flags)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: uint8(family)})
	tuple := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_ORIG, nil)
	ip := tuple.AddRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_IP, nil)
	ip.AddRtAttr(src, f.from.Addr().AsSlice())
	ip.AddRtAttr(dst, f.to.Addr().AsSlice())
	proto := tuple.AddRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_PROTO, nil)
	proto.AddRtAttr(nl.CTA_PROTO_NUM, []byte{f.protocol})
	proto.AddRtAttr(nl.CTA_PROTO_SRC_PORT, binary.BigEndian.AppendUint16(nil, f.from.Port()))
	proto.AddRtAttr(nl.CTA_PROTO_DST_PORT, binary.BigEndian.AppendUint16(nil, f.to.Port()))
	req.AddData(tuple)
	return req
}

// attribute returns the content of the first attribute of the given type.
func attribute(b []byte, kind uint16) ([]byte, error) {
	attrs, err := nl.ParseRouteAttr(b)
	if err != nil {
		return nil, fmt.Errorf("netlink attributes: %w", err)
	}
	for _, a := range attrs {
		if a.Attr.Type&nl.NLA_TYPE_MASK == kind {
			return a.Value, nil
		}
	}
	return nil, fmt.Errorf("netlink answer without attribute %d", kind)
}
