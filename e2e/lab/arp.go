// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/packet"
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

// ARPCapture records the ARP packets at eth0 of a host.
type ARPCapture struct {
	conn *packet.Conn
	done chan struct{}

	mu   sync.Mutex
	seen []ARPSeen
}

// CaptureARP starts a capture on a host of the lab. Stop it before the lab.
func (l *Lab) CaptureARP(host string) (*ARPCapture, error) {
	h, err := l.host(host)
	if err != nil {
		return nil, err
	}
	c := &ARPCapture{done: make(chan struct{})}
	err = h.do(func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		c.conn, err = packet.Listen(eth0, packet.Raw, int(ethernet.EtherTypeARP), nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("capture ARP on host %q: %w", host, err)
	}
	go c.read()
	return c, nil
}

func (c *ARPCapture) read() {
	defer close(c.done)
	buffer := make([]byte, 2048)
	for {
		n, _, err := c.conn.ReadFrom(buffer)
		if err != nil {
			return // closed by Stop, or the host is gone
		}
		var frame ethernet.Frame
		var p arp.Packet
		if frame.UnmarshalBinary(buffer[:n]) != nil || p.UnmarshalBinary(frame.Payload) != nil {
			continue // not ours to judge; real networks carry broken packets too
		}
		c.mu.Lock()
		c.seen = append(c.seen, ARPSeen{
			Time: time.Now(), Source: frame.Source, Reply: p.Operation == arp.OperationReply,
			SenderHW: p.SenderHardwareAddr, SenderIP: p.SenderIP, TargetHW: p.TargetHardwareAddr, TargetIP: p.TargetIP,
		})
		c.mu.Unlock()
	}
}

// Seen returns the packets so far whose sender claims the address; all packets for the zero Addr.
func (c *ARPCapture) Seen(sender netip.Addr) []ARPSeen {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []ARPSeen
	for _, p := range c.seen {
		if !sender.IsValid() || p.SenderIP == sender {
			found = append(found, p)
		}
	}
	return found
}

// Stop ends the capture and returns all packets.
func (c *ARPCapture) Stop() []ARPSeen {
	_ = c.conn.Close()
	<-c.done
	return c.Seen(netip.Addr{})
}
