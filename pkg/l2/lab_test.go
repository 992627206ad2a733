// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairlead-io/fairlead/e2e/netnstest"
)

// lab is a segment: a bridge in a namespace of its own, with this process's
// namespace and those of other machines on its ports.
type lab struct {
	t  *testing.T
	sw *machine
}

// machine is a machine with the kernel's own network stack.
type machine struct {
	t  *testing.T
	ns netnstest.Namespace
	h  *netlink.Handle
}

func newStation(t *testing.T) *machine {
	t.Helper()
	ns := netnstest.New(t)
	h, err := netlink.NewHandleAt(ns.Handle)
	must(t, err)
	t.Cleanup(h.Close)
	return &machine{t: t, ns: ns, h: h}
}

// do runs f with the calling thread inside the station's namespace.
func (s *machine) do(f func()) {
	s.t.Helper()
	s.ns.Do(s.t, f)
}

func (s *machine) up(name string, addrs ...string) {
	s.t.Helper()
	setUp(s.t, s.h, name, addrs...)
}

func setUp(t *testing.T, h *netlink.Handle, name string, addrs ...string) {
	t.Helper()
	l, err := h.LinkByName(name)
	must(t, err)
	for _, a := range addrs {
		parsed, err := netlink.ParseAddr(a)
		must(t, err)
		parsed.Flags = unix.IFA_F_NODAD
		must(t, h.AddrAdd(l, parsed))
	}
	must(t, h.LinkSetUp(l))
}

func newLab(t *testing.T) *lab {
	t.Helper()
	netnstest.Need(t)
	sw := newStation(t)
	must(t, sw.h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}, MulticastSnooping: new(bool)}))
	sw.up("br0")
	return &lab{t: t, sw: sw}
}

// here gives this process's namespace a port on the switch, named name.
func (l *lab) here(name string, addrs ...string) {
	l.t.Helper()
	h, err := netlink.NewHandle()
	must(l.t, err)
	defer h.Close()
	l.plug(name, -1)
	l.t.Cleanup(func() {
		if link, err := netlink.LinkByName(name); err == nil {
			must(l.t, netlink.LinkDel(link))
		}
	})
	setUp(l.t, h, name, addrs...)
}

// station adds a machine with eth0 on the switch.
func (l *lab) station(port string, addrs ...string) *machine {
	l.t.Helper()
	s := newStation(l.t)
	l.plug(port, int(s.ns.Handle))
	link, err := s.h.LinkByName(port)
	must(l.t, err)
	must(l.t, s.h.LinkSetName(link, "eth0"))
	s.up("eth0", addrs...)
	return s
}

// plug makes a veth whose end name is in the namespace fd (-1: this one).
func (l *lab) plug(name string, fd int) {
	l.t.Helper()
	v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "sw-" + name}
	must(l.t, netlink.LinkAdd(v))
	far, err := netlink.LinkByName("sw-" + name)
	must(l.t, err)
	must(l.t, netlink.LinkSetNsFd(far, int(l.sw.ns.Handle)))
	if fd >= 0 {
		near, err := netlink.LinkByName(name)
		must(l.t, err)
		must(l.t, netlink.LinkSetNsFd(near, fd))
	}
	br, err := l.sw.h.LinkByName("br0")
	must(l.t, err)
	far, err = l.sw.h.LinkByName("sw-" + name)
	must(l.t, err)
	must(l.t, l.sw.h.LinkSetMaster(far, br))
	must(l.t, l.sw.h.LinkSetUp(far))
}

// ask has the station's kernel resolve addr, by sending it a datagram.
func (s *machine) ask(addr string) {
	s.t.Helper()
	s.do(func() {
		conn, err := net.Dial("udp", net.JoinHostPort(addr, "9"))
		must(s.t, err)
		defer conn.Close()
		// Whether it gets anywhere is what the neighbour table says.
		_, _ = conn.Write([]byte("x"))
	})
}

// neighbour is what the station's kernel has for addr; zero if nothing.
func (s *machine) neighbour(addr string) MAC {
	s.t.Helper()
	entries, err := s.h.NeighList(0, netlink.FAMILY_ALL)
	must(s.t, err)
	for _, n := range entries {
		if n.IP.Equal(net.ParseIP(addr)) {
			m, _ := macFrom(n.HardwareAddr)
			return m
		}
	}
	return MAC{}
}

func (s *machine) mac() MAC {
	s.t.Helper()
	l, err := s.h.LinkByName("eth0")
	must(s.t, err)
	m, _ := macFrom(l.Attrs().HardwareAddr)
	return m
}

func ownMAC(t *testing.T) MAC {
	t.Helper()
	l, err := netlink.LinkByName("lan0")
	must(t, err)
	m, _ := macFrom(l.Attrs().HardwareAddr)
	return m
}

// start runs a speaker until the test ends, and waits until it has its links.
func start(t *testing.T, c Config) *Speaker {
	t.Helper()
	s := New(c)
	run(t, s)
	eventually(t, "links are read", func() bool { return len(s.Links()) > 0 })
	return s
}

func run(t *testing.T, s *Speaker) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// usable waits until the speaker sees the named link ready.
func usable(t *testing.T, s *Speaker, name string) {
	t.Helper()
	eventually(t, name+" is usable", func() bool {
		for _, l := range s.Links() {
			if l.Name == name {
				return l.Usable()
			}
		}
		return false
	})
}

// connected waits until the switch passes frames between lan0 and the
// station: ports of a bridge begin to some time after their links are up.
func connected(t *testing.T, s *Speaker, with *machine, via string) {
	t.Helper()
	must(t, s.Add(Announcement{Address: addr(via)}))
	eventually(t, "the switch forwards", func() bool {
		with.ask(via)
		return with.neighbour(via) == ownMAC(t)
	})
	s.Remove(addr(via))
	eventually(t, "the removed address is forgotten", func() bool { return s.Stats().Unannounced == 0 })
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-ctx.Done():
			t.Fatalf("not seen in 15 s: %s", what)
		case <-tick.C:
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// capture delivers the ARP messages that the station's eth0 receives.
func (s *machine) capture(t *testing.T) <-chan message {
	t.Helper()
	out := make(chan message, 100_000)
	var p *port
	s.do(func() {
		link, err := s.h.LinkByName("eth0")
		must(t, err)
		p, err = openPort(Link{Index: link.Attrs().Index, Name: "eth0", MAC: s.mac()}, arpFamily(), &familyCounters{})
		must(t, err)
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, frameBuffer)
		for {
			n, _, err := p.conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if m, err := parseARP(buf[:n]); err == nil {
				out <- m
			}
		}
	}()
	t.Cleanup(func() { must(t, p.conn.Close()); <-done })
	return out
}
