// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Probe makes one probe, which ends with ctx at the latest and after the check's timeout. The error tells in words what
// was asked and what came back instead of what passes; it is the same for the same cause.
func Probe(ctx context.Context, c Check) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var what string
	var err error
	switch c.Type {
	case TCP:
		what, err = "TCP "+c.Target.String(), probeTCP(ctx, c)
	case UDP:
		what, err = "UDP "+c.Target.String(), probeUDP(ctx, c)
	case HTTP, HTTPS:
		what, err = probeHTTP(ctx, c)
	case GRPC:
		what, err = fmt.Sprintf("gRPC health of %q at %s", c.Path, c.Target), probeGRPC(ctx, c)
	default:
		return fmt.Errorf("health check type %q: must be TCP, HTTP, HTTPS, UDP or GRPC", c.Type)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, plain(ctx, err, c.Timeout))
	}
	return nil
}

// errTimeout stands for all the ways in which the standard library says it.
var errTimeout = errors.New("no answer in time")

// plain takes from an error what differs each time, as the own port does.
func plain(ctx context.Context, err error, timeout time.Duration) error {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w (%v)", errTimeout, timeout)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// dial opens a connection that leaves nothing behind: closing it resets it, so that neither end nor the connection
// tracking on the way keeps it for minutes.
func dial(ctx context.Context, c Check) (*net.TCPConn, error) {
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}
	conn, err := d.DialContext(ctx, "tcp", c.Target.String())
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("dialing TCP gave a %T", conn)
	}
	if err := tcp.SetLinger(0); err != nil {
		tcp.Close()
		return nil, err
	}
	return tcp, nil
}

// endWith has what is read from a connection and written to it end with ctx. It returns what takes that back.
func endWith(ctx context.Context, conn net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // one that is closed has ended too
}

// probeTCP passes where a connection opens.
func probeTCP(ctx context.Context, c Check) error {
	conn, err := dial(ctx, c)
	if err != nil {
		return err
	}
	return conn.Close()
}

// probeUDP sends an empty datagram, which fits every protocol, and passes if something is answered or nothing says within
// the time that there is nobody to answer.
func probeUDP(ctx context.Context, c Check) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", c.Target.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(min(c.Timeout, c.Interval))); err != nil {
		return err
	}
	defer endWith(ctx, conn)()
	if _, err := conn.Write(nil); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, unix.EMSGSIZE) {
		return nil
	}
	return err
}
