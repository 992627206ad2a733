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
	conn, err := l.listenPackets(host, ethernet.EtherTypeARP)
	if err != nil {
		return nil, fmt.Errorf("capture ARP on host %q: %w", host, err)
	}
	c := &ARPCapture{conn: conn, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		readFrames(conn, c.record)
	}()
	return c, nil
}

func (c *ARPCapture) record(frame *ethernet.Frame) {
	var p arp.Packet
	if p.UnmarshalBinary(frame.Payload) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, ARPSeen{
		Time: time.Now(), Source: frame.Source, Reply: p.Operation == arp.OperationReply,
		SenderHW: p.SenderHardwareAddr, SenderIP: p.SenderIP, TargetHW: p.TargetHardwareAddr, TargetIP: p.TargetIP,
	})
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
