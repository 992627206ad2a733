// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// dialFirstSYN is dial for TCP, and fails unless the first SYN was answered. The kernel says so: both ends of the handshake
// are its work, which a process that waits for a processor does not delay.
func (h *host) dialFirstSYN(ctx context.Context, network, address string) (net.Conn, error) {
	// After the second SYN it is known that the first was lost: no more of them, so that no connection waits for the Timeout.
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return onSocket(raw, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_SYNCNT, 1) })
	}}
	var conn net.Conn
	err := h.do(func() error {
		var err error
		conn, err = dialer.DialContext(ctx, network, address)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := answeredAtOnce(conn.(*net.TCPConn)); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return conn, nil
}

// answeredAtOnce fails if the SYN of a connection that nothing was sent on yet went out more than once.
func answeredAtOnce(conn *net.TCPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	return onSocket(raw, func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil && info.Total_retrans > 0 {
			err = fmt.Errorf("the SYN was sent anew %d times: it was lost, or its answer", info.Total_retrans)
		}
		return err
	})
}

func onSocket(raw syscall.RawConn, f func(fd int) error) error {
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}
