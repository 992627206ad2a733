// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"context"
	"errors"
	"log"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// transport is memberlist's own, whose dialling ends with ctx: otherwise closing would wait for dead peers.
type transport struct {
	*memberlist.NetTransport
	ctx  context.Context
	drop func(netip.AddrPort) bool
}

var errDropped = errors.New("dropped by the test")

func newTransport(ctx context.Context, cfg Config, logger *log.Logger) (*transport, error) {
	nt, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{cfg.BindAddr.Addr().String()},
		BindPort:  int(cfg.BindAddr.Port()),
		Logger:    logger,
	})
	if err != nil {
		return nil, err
	}
	return &transport{NetTransport: nt, ctx: ctx, drop: cfg.drop}, nil
}

func (t *transport) dropped(addr string) bool {
	if t.drop == nil {
		return false
	}
	ap, err := netip.ParseAddrPort(addr)
	return err == nil && t.drop(netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
}

// WriteTo implements memberlist.Transport.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if t.dropped(a.Addr) {
		return time.Now(), nil // as the network does
	}
	return t.NetTransport.WriteToAddress(b, a)
}

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if t.dropped(a.Addr) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errDropped}
	}
	d := net.Dialer{Timeout: timeout}
	conn, err := d.DialContext(t.ctx, "tcp", a.Addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(t.ctx, func() { conn.Close() })
	return dialledConn{conn, stop}, nil
}

// dialledConn forgets its context when it is closed.
type dialledConn struct {
	net.Conn
	stop func() bool
}

func (c dialledConn) Close() error {
	c.stop()
	return c.Conn.Close()
}
