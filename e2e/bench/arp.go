// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/packet"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// asker asks for addresses by ARP from a host of the lab, and notes when each was answered. It sends and receives raw
// frames: the kernel's own cache of neighbours would hide what is measured.
type asker struct {
	conn   *packet.Conn
	hw     net.HardwareAddr
	ip     netip.Addr
	closed chan struct{}

	mu    sync.Mutex
	asked map[netip.Addr]time.Time     // last request that is not answered yet
	took  map[netip.Addr]time.Duration // of the last answer
}

// newAsker starts listening on a host. The caller calls close.
func newAsker(l *lab.Lab, host string) (*asker, error) {
	a := &asker{ip: l.Addr4(host), closed: make(chan struct{}), asked: map[netip.Addr]time.Time{}, took: map[netip.Addr]time.Duration{}}
	err := l.InHost(host, func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		a.hw = eth0.HardwareAddr
		a.conn, err = packet.Listen(eth0, packet.Raw, int(ethernet.EtherTypeARP), nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listening for ARP on %s: %w", host, err)
	}
	go a.listen()
	return a, nil
}

func (a *asker) close() error {
	err := a.conn.Close()
	<-a.closed
	return err
}

// listen notes replies until the socket is closed. What is no ARP reply to this host is passed over.
func (a *asker) listen() {
	defer close(a.closed)
	buffer := make([]byte, 1514)
	for {
		n, _, err := a.conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		now := time.Now()
		var frame ethernet.Frame
		var reply arp.Packet
		if frame.UnmarshalBinary(buffer[:n]) != nil || reply.UnmarshalBinary(frame.Payload) != nil {
			continue
		}
		if reply.Operation == arp.OperationReply && reply.TargetIP == a.ip {
			a.note(reply.SenderIP, now)
		}
	}
}

func (a *asker) note(addr netip.Addr, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if start, waiting := a.asked[addr]; waiting {
		a.took[addr] = now.Sub(start)
		delete(a.asked, addr)
	}
}

// ask sends one request.
func (a *asker) ask(addr netip.Addr) error {
	request, err := arp.NewPacket(arp.OperationRequest, a.hw, a.ip, ethernet.Broadcast, addr)
	if err != nil {
		return err
	}
	payload, err := request.MarshalBinary()
	if err != nil {
		return err
	}
	frame := ethernet.Frame{Destination: ethernet.Broadcast, Source: a.hw, EtherType: ethernet.EtherTypeARP, Payload: payload}
	raw, err := frame.MarshalBinary()
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.asked[addr] = time.Now()
	a.mu.Unlock()
	_, err = a.conn.WriteTo(raw, &packet.Addr{HardwareAddr: ethernet.Broadcast})
	return err
}

// askAll asks for each address once, at a rate per second, or as fast as it can for 0. It returns the times that answers
// took, and how many requests had none half a second after the last.
func (a *asker) askAll(ctx context.Context, addrs []netip.Addr, rate int) (took []float64, unanswered int, err error) {
	a.mu.Lock()
	clear(a.asked)
	clear(a.took)
	a.mu.Unlock()
	start := time.Now()
	for i, addr := range addrs {
		if rate > 0 {
			if err := sleep(ctx, time.Until(start.Add(time.Duration(i)*time.Second/time.Duration(rate)))); err != nil {
				return nil, 0, err
			}
		}
		if err := a.ask(addr); err != nil {
			return nil, 0, fmt.Errorf("asking for %s: %w", addr, err)
		}
	}
	if err := sleep(ctx, time.Second/2); err != nil {
		return nil, 0, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.took {
		took = append(took, milliseconds(d))
	}
	return took, len(a.asked), nil
}
