// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"net"
	"net/netip"
	"sync"

	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/packet"
)

// Capture records what packets at eth0 of a host say, as far as they are of the kind it looks for.
type Capture[T any] struct {
	conn  *packet.Conn
	about func(T) netip.Addr
	done  chan struct{}

	mu   sync.Mutex
	seen []T
}

// startCapture records what parse takes; about is the address that it is about.
func startCapture[T any](
	l *Lab, host string, kind ethernet.EtherType, parse func(*ethernet.Frame) (T, bool), about func(T) netip.Addr,
) (*Capture[T], error) {
	conn, err := l.listenPackets(host, kind)
	if err != nil {
		return nil, err
	}
	c := &Capture[T]{conn: conn, about: about, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		readFrames(conn, func(frame *ethernet.Frame) {
			if one, ok := parse(frame); ok {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.seen = append(c.seen, one)
			}
		})
	}()
	return c, nil
}

// Seen returns what was recorded so far about the address; all of it for the zero Addr.
func (c *Capture[T]) Seen(addr netip.Addr) []T {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []T
	for _, one := range c.seen {
		if !addr.IsValid() || c.about(one) == addr {
			found = append(found, one)
		}
	}
	return found
}

// Stop ends the capture and returns all of it.
func (c *Capture[T]) Stop() []T {
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
