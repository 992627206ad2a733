// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairlead-io/fairlead/e2e/netnstest"
)

// TestChangesUnderADumpAreNoError reads the inventory while addresses come and go, until the kernel has marked so many lists
// as not whole that the inventory's own must have been among them.
func TestChangesUnderADumpAreNoError(t *testing.T) {
	netnstest.Need(t)
	stop := changeAddresses(t)
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for marked := 0; marked < 20; {
		if _, err := readInventory(ctx); err != nil {
			t.Fatalf("after %d marked lists: %v", marked, err)
		}
		_, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			t.Fatal(err)
		}
		if err != nil {
			marked++
		}
	}
}

// changeAddresses adds and removes an address of a link with many others, every millisecond until stop is called.
func changeAddresses(t *testing.T) (stop func()) {
	t.Helper()
	link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "busy0"}}
	must(t, netlink.LinkAdd(link))
	t.Cleanup(func() { must(t, netlink.LinkDel(link)) })
	for i := range 250 {
		a, err := netlink.ParseAddr("10.8.0." + strconv.Itoa(i+1) + "/24")
		must(t, err)
		must(t, netlink.AddrAdd(link, a))
	}
	quit, done := make(chan struct{}), make(chan error, 1)
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				done <- nil
				return
			case <-tick.C:
			}
			a := &netlink.Addr{IPNet: netlink.NewIPNet([]byte{10, 7, 0, 1})}
			if err := errors.Join(netlink.AddrAdd(link, a), netlink.AddrDel(link, a)); err != nil {
				done <- err
				return
			}
		}
	}()
	return func() { close(quit); must(t, <-done) }
}

// TestManyMessagesFitBetweenTwoReads looks at the sockets of a subscription: each has the buffer that it asked for, which the
// kernel doubles, whatever the limit for other programs.
func TestManyMessagesFitBetweenTwoReads(t *testing.T) {
	netnstest.Need(t)
	before := netlinkSockets(t)
	s, err := subscribe()
	must(t, err)
	defer s.close()
	fresh := 0
	for fd, size := range netlinkSockets(t) {
		if _, old := before[fd]; old {
			continue
		}
		if fresh++; size != 2*netlinkBuffer {
			t.Errorf("a buffer of %d bytes, want %d", size, 2*netlinkBuffer)
		}
	}
	if fresh != 3 {
		t.Errorf("%d sockets, want one each for links, addresses and routes", fresh)
	}
}

// netlinkSockets returns the receive buffers of this process's netlink sockets, by file descriptor.
func netlinkSockets(t *testing.T) map[int]int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	out := map[int]int{}
	for _, f := range files {
		fd, err := strconv.Atoi(f.Name())
		must(t, err)
		domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
		if err != nil || domain != unix.AF_NETLINK {
			continue
		}
		out[fd], err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		must(t, err)
	}
	return out
}

// TestBurstOfChangesIsOne: a snapshot is made of all that has arrived, not of each message.
func TestBurstOfChangesIsOne(t *testing.T) {
	const burst = 50
	s := &subscription{
		links: make(chan netlink.LinkUpdate), addrs: make(chan netlink.AddrUpdate, burst), routes: make(chan netlink.RouteUpdate),
	}
	for i := range burst {
		s.addrs <- netlink.AddrUpdate{
			LinkIndex: 2, LinkAddress: net.IPNet{IP: net.IPv4(10, 0, 0, byte(i+1)), Mask: net.CIDRMask(24, 32)}, NewAddr: true,
		}
	}
	inv := &inventory{addresses: map[int]map[netip.Prefix]int{}}
	if dirty, err := s.receive(t.Context(), inv); err != nil || !dirty {
		t.Fatalf("changes seen: %v, error %v", dirty, err)
	}
	if n := len(inv.addresses[2]); n != burst {
		t.Errorf("%d of %d changes taken in at once", n, burst)
	}
}
