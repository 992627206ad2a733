// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/ndp"
	"github.com/mdlayher/packet"
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

// NDPCapture records the neighbour advertisements at eth0 of a host.
type NDPCapture struct {
	conn *packet.Conn
	done chan struct{}

	mu   sync.Mutex
	seen []Advertisement
}

// CaptureNDP starts a capture on a host of the lab. Stop it before the lab.
func (l *Lab) CaptureNDP(host string) (*NDPCapture, error) {
	conn, err := l.listenPackets(host, ethernet.EtherTypeIPv6)
	if err != nil {
		return nil, fmt.Errorf("capture NDP on host %q: %w", host, err)
	}
	c := &NDPCapture{conn: conn, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		readFrames(conn, func(frame *ethernet.Frame) {
			if a, ok := parseAdvertisement(frame); ok {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.seen = append(c.seen, a)
			}
		})
	}()
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

// Seen returns the advertisements so far for the target; all for the zero Addr.
func (c *NDPCapture) Seen(target netip.Addr) []Advertisement {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []Advertisement
	for _, a := range c.seen {
		if !target.IsValid() || a.Target == target {
			found = append(found, a)
		}
	}
	return found
}

// Stop ends the capture and returns all advertisements.
func (c *NDPCapture) Stop() []Advertisement {
	_ = c.conn.Close()
	<-c.done
	return c.Seen(netip.Addr{})
}

// listenPackets opens a packet socket on eth0 of a host.
func (l *Lab) listenPackets(host string, kind ethernet.EtherType) (*packet.Conn, error) {
	h, err := l.host(host)
	if err != nil {
		return nil, err
	}
	var conn *packet.Conn
	err = h.do(func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		conn, err = packet.Listen(eth0, packet.Raw, int(kind), nil)
		return err
	})
	return conn, err
}

// readFrames calls f with every frame until the socket is closed. Frames that cannot be parsed are passed over.
func readFrames(conn *packet.Conn, f func(*ethernet.Frame)) {
	buffer := make([]byte, 2048)
	for {
		n, _, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		var frame ethernet.Frame
		if frame.UnmarshalBinary(buffer[:n]) == nil {
			f(&frame)
		}
	}
}
