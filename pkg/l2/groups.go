// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

// groupsPerSocket stays below what the smallest usual net.core.optmem_max
// (20 KiB, about 56 bytes a membership) lets one socket join.
const groupsPerSocket = 256

// groups joins the solicited-node groups of addresses on one link, so that the
// interface takes in their frames and, by the kernel's MLD reports, snooping
// switches pass them on. A packet socket's own memberships (or all-multicast
// mode) would do the first but not the second. The kernel limits memberships
// per socket, so there are as many sockets as needed; they receive nothing.
//
// It is guarded by the speaker's lock. A nil groups joins nothing.
type groups struct {
	link    Link
	members map[netip.Addr]*membership
	sockets []*groupSocket
}

type membership struct {
	socket *groupSocket
	users  int // addresses with the same last 24 bits
}

type groupSocket struct {
	fd     int
	joined int
}

func newGroups(link Link) *groups {
	return &groups{link: link, members: map[netip.Addr]*membership{}}
}

func (g *groups) join(addr netip.Addr) error {
	if g == nil {
		return nil
	}
	group, err := ndp.SolicitedNodeMulticast(addr)
	if err != nil {
		return fmt.Errorf("solicited-node group of %s: %w", addr, err)
	}
	if m := g.members[group]; m != nil {
		m.users++
		return nil
	}
	s, err := g.socketWithRoom()
	if err != nil {
		return err
	}
	if err := g.option(s, unix.IPV6_JOIN_GROUP, group); err != nil {
		return err
	}
	s.joined++
	g.members[group] = &membership{socket: s, users: 1}
	return nil
}

func (g *groups) leave(addr netip.Addr) error {
	if g == nil {
		return nil
	}
	group, err := ndp.SolicitedNodeMulticast(addr)
	if err != nil {
		return fmt.Errorf("solicited-node group of %s: %w", addr, err)
	}
	m := g.members[group]
	if m == nil {
		return nil
	}
	if m.users--; m.users > 0 {
		return nil
	}
	delete(g.members, group)
	m.socket.joined--
	return g.option(m.socket, unix.IPV6_LEAVE_GROUP, group)
}

func (g *groups) option(s *groupSocket, opt int, group netip.Addr) error {
	mreq := &unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(g.link.Index)}
	if err := unix.SetsockoptIPv6Mreq(s.fd, unix.IPPROTO_IPV6, opt, mreq); err != nil {
		return fmt.Errorf("group %s on interface %s: %w", group, g.link.Name, err)
	}
	return nil
}

func (g *groups) socketWithRoom() (*groupSocket, error) {
	for _, s := range g.sockets {
		if s.joined < groupsPerSocket {
			return s, nil
		}
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket for multicast groups: %w", err)
	}
	s := &groupSocket{fd: fd}
	g.sockets = append(g.sockets, s)
	return s, nil
}

// close leaves all groups.
func (g *groups) close() {
	if g == nil {
		return
	}
	for _, s := range g.sockets {
		// Nothing is written to these sockets that a failing close could lose.
		_ = unix.Close(s.fd)
	}
	g.sockets, g.members = nil, nil
}

// noIPv6 says whether err means that IPv6 is off on the link: announcing goes
// on without groups, and reaches whom it reaches.
func noIPv6(err error) bool {
	return errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL)
}
