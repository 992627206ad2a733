// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// frameBuffer in bytes holds the longest frame of interest: a neighbour
// solicitation with options. What is longer is cut off and then malformed.
const frameBuffer = 256

// receiveBuffer in bytes. A short frame is charged with some 800 bytes, so the
// kernel's default would hold fewer than 300 questions; this holds 10,000.
const receiveBuffer = 8 << 20

// portKey names a port: one per interface and family.
type portKey struct {
	index int
	four  bool
}

// port is one packet socket with the addresses announced and probed for on it.
type port struct {
	link   Link
	family family
	conn   net.PacketConn // of frames
	stats  *familyCounters
	// identify tells who owns a hardware address.
	identify func(MAC) (station, string)
	// report is told of claims, with the port's lock not held.
	report func(Conflict)

	groups *groups // IPv6 only

	mu     sync.RWMutex
	held   map[netip.Addr]*entry
	probed map[netip.Addr][]*search
	stop   chan struct{} // closed by close
	done   chan struct{} // closed by serve
}

// entry is one address on one port.
type entry struct {
	addr  netip.Addr
	port  *port
	start time.Time // of the takeover, or later by as much as its burst was put off
	// step of the schedule, when it is due, and until when nothing is to be
	// sent: guarded by announcer.mu.
	step   int
	due    time.Time
	silent time.Time
	// gone entries are dropped by the announcer when their time comes.
	gone atomic.Bool
	// announced is when the first announcement went out, Unix nanoseconds.
	announced atomic.Int64
	// defence is guarded by port.mu.
	defence defence
}

func openPort(link Link, f family, stats *familyCounters) (*port, error) {
	filter, err := filterFor(f, link.Index)
	if err != nil {
		return nil, err
	}
	ifi := &net.Interface{Index: link.Index, Name: link.Name, HardwareAddr: link.MAC[:]}
	conn, err := packet.Listen(ifi, packet.Raw, f.etherType, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("opening %s socket on interface %s: %w", f.name, link.Name, err)
	}
	if err := enlarge(conn); err != nil {
		return nil, errors.Join(fmt.Errorf("receive buffer on interface %s: %w", link.Name, err), conn.Close())
	}
	p := &port{
		link: link, family: f, conn: conn, stats: stats,
		held:   map[netip.Addr]*entry{},
		probed: map[netip.Addr][]*search{},
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	if f.etherType != arpFamily().etherType {
		p.groups = newGroups(link)
	}
	return p, nil
}

// enlarge sets the receive buffer beyond net.core.rmem_max, which takes
// CAP_NET_ADMIN, or else up to it.
func enlarge(conn *packet.Conn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		inner = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
		if errors.Is(inner, unix.EPERM) {
			inner = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
		}
	})
	return errors.Join(err, inner)
}

// close stops the port and waits for its reader.
func (p *port) close() {
	p.mu.Lock()
	for _, e := range p.held {
		e.gone.Store(true)
	}
	p.mu.Unlock()
	close(p.stop)
	// The socket is only read and written here: nothing can be lost by a
	// failing close.
	_ = p.conn.Close()
	<-p.done
	p.groups.close()
}

// errorPause keeps a socket that fails again and again from taking a CPU.
const errorPause = 100 * time.Millisecond

// serve reads frames until the port is closed. A link that goes down fails one
// read (ENETDOWN) and then serves again when it is up.
func (p *port) serve(ctx context.Context) {
	defer close(p.done)
	log := klog.FromContext(ctx).WithValues("interface", p.link.Name, "family", p.family.name)
	buf := make([]byte, frameBuffer)
	for {
		n, _, err := p.conn.ReadFrom(buf)
		if err == nil {
			p.handle(log, buf[:n])
			continue
		}
		select {
		case <-p.stop:
			return
		case <-time.After(errorPause):
		}
		p.stats.receiveErrors.Add(1)
		log.V(2).Info("Receiving failed", "err", err)
	}
}

// handle does what one frame asks for.
func (p *port) handle(log klog.Logger, frame []byte) {
	m, err := p.family.parse(frame)
	if err != nil {
		p.stats.malformed.Add(1)
		return
	}
	if m.asks.IsValid() {
		p.stats.requests.Add(1)
	}
	who, name := p.identify(m.from)
	p.mu.RLock()
	v := judge(m, who, p.holds, p.probes)
	p.mu.RUnlock()
	if v.reply {
		p.answer(log, m)
	}
	if v.contested.IsValid() {
		p.contest(log, v.contested, m, who, name)
	}
	if v.found.IsValid() {
		p.tellProbes(p.conflict(v.found, m, name))
	}
}

func (p *port) answer(log klog.Logger, m message) {
	frame, err := p.family.reply(m, p.link.MAC)
	if err == nil {
		err = p.send(frame)
	}
	if err != nil {
		log.V(2).Info("Reply not sent", "address", m.asks, "err", err)
		return
	}
	p.stats.replies.Add(1)
}

// contest reports another station's claim of an announced address and, unless
// the station is of the cluster, defends it.
func (p *port) contest(log klog.Logger, addr netip.Addr, m message, who station, name string) {
	p.mu.Lock()
	e := p.held[addr]
	due := e != nil && e.defence.due(who, time.Now())
	p.mu.Unlock()
	if !due {
		return
	}
	c := p.conflict(addr, m, name)
	if who == stranger {
		p.stats.conflicts.Add(1)
		c.Defended = p.announce(addr, FormRequest) == nil
		if c.Defended {
			p.stats.defences.Add(1)
		}
	}
	level := 0
	if name != "" {
		level = 2 // a node of the cluster, in a takeover or a handover
	}
	log.V(level).Info("Another station claims an announced address", "address", addr, "mac", m.from, "peer", name, "defended", c.Defended)
	p.report(c)
}

func (p *port) conflict(addr netip.Addr, m message, peerName string) Conflict {
	return Conflict{Address: addr, Interface: p.link.Name, MAC: m.from, Peer: peerName, Probing: m.probing(), At: time.Now()}
}

// tellProbes never waits: a search wants one station, and has room for it.
func (p *port) tellProbes(c Conflict) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, s := range p.probed[c.Address] {
		if c.Probing && s.usersOnly {
			continue
		}
		select {
		case s.found <- c:
		default:
		}
	}
}

func (p *port) holds(a netip.Addr) bool { return p.held[a] != nil }

func (p *port) probes(a netip.Addr) bool { return len(p.probed[a]) > 0 }

// announce sends one unasked announcement.
func (p *port) announce(addr netip.Addr, form Form) error {
	frame, err := p.family.announce(addr, p.link.MAC, form)
	if err != nil {
		return err
	}
	return p.send(frame)
}

// sendTimeout is how long a frame may wait for room in the queue of an interface. One whose queue stands, as by flow control
// of its switch, must not keep addresses from being withdrawn, or announced on others.
const sendTimeout = 20 * time.Millisecond

func (p *port) send(frame []byte) error {
	err := p.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	if err == nil {
		_, err = p.conn.WriteTo(frame, &packet.Addr{HardwareAddr: frame[:6]})
	}
	if err != nil {
		p.stats.sendErrors.Add(1)
		return fmt.Errorf("sending on interface %s: %w", p.link.Name, err)
	}
	return nil
}
