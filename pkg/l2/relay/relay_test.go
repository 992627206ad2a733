// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/fairlead-io/fairlead/e2e/netnstest"
)

// TestMain runs the tests in a network namespace of their own: it is the switch of the segment.
func TestMain(m *testing.M) {
	netnstest.Main(func() { os.Exit(m.Run()) })
}

// machine is one on the segment, with addresses of both families that end in its number.
type machine struct {
	t   *testing.T
	ns  netnstest.Namespace
	mac net.HardwareAddr
	a4  netip.Addr
	a6  netip.Addr
}

// do runs f with the calling thread inside the machine.
func (m *machine) do(f func() error) {
	m.t.Helper()
	m.ns.Do(m.t, func() {
		if err := f(); err != nil {
			m.t.Fatal(err)
		}
	})
}

// segment makes machines on one switch.
func segment(t *testing.T, count int) []*machine {
	t.Helper()
	netnstest.Need(t)
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "switch"}}
	if err := netlink.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(bridge) })
	machines := make([]*machine, count)
	for i := range machines {
		machines[i] = plug(t, bridge, i+1)
	}
	return machines
}

func plug(t *testing.T, bridge netlink.Link, number int) *machine {
	t.Helper()
	ns := netnstest.New(t)
	port := fmt.Sprintf("port%d", number)
	pair := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: port, MasterIndex: bridge.Attrs().Index}, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns.Handle),
	}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(pair) }) // the kernel takes its time to do so with the namespace
	if err := netlink.LinkSetUp(pair); err != nil {
		t.Fatal(err)
	}
	m := &machine{
		t: t, ns: ns, a4: netip.AddrFrom4([4]byte{10, 9, 0, byte(number)}),
		a6: netip.AddrFrom16([16]byte{0xfd, 9, 15: byte(number)}),
	}
	m.do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		m.mac = link.Attrs().HardwareAddr
		for _, a := range []netip.Addr{m.a4, m.a6} {
			if err := m.add(link, a, a.BitLen()*3/4); err != nil {
				return err
			}
		}
		return netlink.LinkSetUp(link)
	})
	return m
}

func (m *machine) add(link netlink.Link, a netip.Addr, bits int) error {
	return netlink.AddrAdd(link, &netlink.Addr{
		IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}, Flags: syscall.IFA_F_NODAD,
	})
}

// send has the machine send what is for the address to the station.
func (m *machine) send(addr netip.Addr, station net.HardwareAddr) {
	m.t.Helper()
	m.do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.NeighSet(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, IP: addr.AsSlice(), HardwareAddr: station, State: netlink.NUD_PERMANENT,
		})
	})
}

// serve echoes what arrives at the address on the machine.
func (m *machine) serve(addr netip.Addr) {
	m.t.Helper()
	var listener net.Listener
	m.do(func() (err error) {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		if err := m.add(link, addr, addr.BitLen()); err != nil {
			return err
		}
		listener, err = net.Listen("tcp", netip.AddrPortFrom(addr, 80).String())
		return err
	})
	m.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn) // until the client closes
			}()
		}
	}()
}

func (m *machine) dial(addr netip.Addr, timeout time.Duration) (conn net.Conn, failed error) {
	m.do(func() error {
		conn, failed = net.DialTimeout("tcp", netip.AddrPortFrom(addr, 80).String(), timeout)
		return nil
	})
	return conn, failed
}

// echo says whether a byte comes back within the time.
func echo(t *testing.T, conn net.Conn, timeout time.Duration) bool {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		return false
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	return err == nil
}

// patience is enough for TCP to repeat itself; impatience for it to have done so twice in vain.
const patience, impatience = 20 * time.Second, 700 * time.Millisecond

func TestConnectionsOutliveAMove(t *testing.T) {
	machines := segment(t, 3)
	client, former, now := machines[0], machines[1], machines[2]
	for _, tc := range []struct {
		name      string
		addr, via netip.Addr
	}{
		{"IPv4", netip.MustParseAddr("10.9.0.100"), former.a4},
		{"IPv6", netip.MustParseAddr("fd09::100"), former.a6},
	} {
		t.Run(tc.name, func(t *testing.T) {
			former.serve(tc.addr)
			client.send(tc.addr, former.mac)
			conn, err := client.dial(tc.addr, patience)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			client.send(tc.addr, now.mac)
			if echo(t, conn, impatience) {
				t.Fatal("the connection goes on without the relay: this test shows nothing")
			}
			var r *Relay
			now.do(func() (err error) { r, err = Open(); return err })
			now.do(func() error { return r.Keep(map[netip.Addr]netip.Addr{tc.addr: tc.via}) })
			// What was sent before comes first.
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
				t.Fatalf("the connection is broken: %v", err)
			}
			if !echo(t, conn, patience) {
				t.Error("the connection does not go on")
			}
			if other, err := client.dial(tc.addr, impatience); err == nil {
				other.Close()
				t.Error("a new connection was handed on too")
			}
			now.do(func() error { return r.SetPeers([]net.HardwareAddr{client.mac}) })
			if echo(t, conn, impatience) {
				t.Error("what a machine of the cluster sent was handed on")
			}
			now.do(func() error { return r.Forget(tc.addr) }) // first: TCP repeats what did not get through
			now.do(func() error { return r.SetPeers(nil) })
			if echo(t, conn, impatience) {
				t.Error("forgotten, and handed on")
			}
		})
	}
}

func TestEntriesOutliveTheProcess(t *testing.T) {
	here := segment(t, 1)[0]
	addr := netip.MustParseAddr
	var first, second *Relay
	here.do(func() (err error) { first, err = Open(); return err })
	here.do(func() error {
		return first.Keep(map[netip.Addr]netip.Addr{
			addr("10.9.0.100"): addr("10.9.0.2"), addr("10.9.0.101"): addr("10.9.0.2"), addr("fd09::100"): addr("fd09::2"),
		})
	})
	here.do(func() (err error) { second, err = Open(); return err })
	here.do(func() error { return second.Keep(map[netip.Addr]netip.Addr{addr("10.9.0.100"): addr("10.9.0.3")}) })
	here.do(func() error { return second.Forget(addr("10.9.0.101"), addr("10.9.0.102")) })
	here.do(func() error { return second.ForgetVia(addr("10.9.0.2"), addr("10.9.0.100")) }) // is another's by now
	want := map[netip.Addr]netip.Addr{addr("10.9.0.100"): addr("10.9.0.3"), addr("fd09::100"): addr("fd09::2")}
	compare := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if d := cmp.Diff(want, second.Former(), compare); d != "" {
		t.Error(d)
	}
	// The first does not know what the second did, and finds out.
	here.do(func() error { return first.Forget(addr("10.9.0.101")) })
	here.do(func() error { return first.ForgetVia(addr("fd09::2"), addr("fd09::100")) })
	here.do(func() error { return first.Keep(map[netip.Addr]netip.Addr{addr("10.9.0.100"): addr("10.9.0.4")}) })
	want = map[netip.Addr]netip.Addr{addr("10.9.0.100"): addr("10.9.0.4")}
	var third *Relay
	here.do(func() (err error) { third, err = Open(); return err })
	if d := cmp.Diff(want, third.Former(), compare); d != "" {
		t.Error(d)
	}
}
