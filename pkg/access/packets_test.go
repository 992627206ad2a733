// SPDX-License-Identifier: Apache-2.0

package access

import (
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/fairlead-io/fairlead/e2e/netnstest"
)

// Addresses of the client (good and bad) and of the Service, which the node translates to its own port 8080.
const (
	service4, good4, bad4 = "10.8.0.100", "10.7.0.2", "10.7.0.3"
	service6, good6, bad6 = "fd08::100", "fd07::2", "fd07::3"
)

// wire is a client and a node in namespaces of their own, with a cable between.
type wire struct {
	t            *testing.T
	client, node netnstest.Namespace
}

// newWire makes both. In the node, rules of nftables translate as kube-proxy's do, and servers answer on port 8080.
func newWire(t *testing.T) *wire {
	t.Helper()
	w := lone(t)
	w.client = netnstest.New(t)
	w.in(w.client, func() {
		link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(w.node.Handle))}
		if err := netlink.LinkAdd(link); err != nil {
			t.Fatal(err)
		}
	})
	for _, ns := range []netnstest.Namespace{w.client, w.node} {
		w.run(ns, "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad") // link-local addresses too can be used at once
	}
	w.run(w.node, "ip addr add 10.7.0.1/24 dev eth0; ip addr add fd07::1/64 dev eth0 nodad; ip link set lo up; ip link set eth0 up")
	w.run(w.client, "for i in 2 3; do ip addr add 10.7.0.$i/24 dev eth0; ip addr add fd07::$i/64 dev eth0 nodad; done; ip link set eth0 up; "+
		"ip route add 10.8.0.0/24 via 10.7.0.1; ip route add fd08::/64 via fd07::1")
	w.run(w.node, `nft '
		table inet proxy {
			chain pre {
				type nat hook prerouting priority dstnat
				ip daddr 10.8.0.100 meta l4proto { tcp, udp } th dport { 80, 81 } dnat ip to 10.7.0.1:8080
				ip6 daddr fd08::100 meta l4proto { tcp, udp } th dport { 80, 81 } dnat ip6 to [fd07::1]:8080
			}
		}'`)
	w.serve()
	return w
}

// lone is a node that nothing is connected to.
func lone(t *testing.T) *wire {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft, to look at what was written")
	}
	w := &wire{t: t}
	w.node = netnstest.New(t)
	return w
}

// in runs f on a thread inside a namespace.
func (w *wire) in(ns netnstest.Namespace, f func()) {
	w.t.Helper()
	ns.Do(w.t, f)
}

func (w *wire) run(ns netnstest.Namespace, script string) {
	w.t.Helper()
	w.in(ns, func() {
		if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
			w.t.Fatalf("%s: %v: %s", script, err, out)
		}
	})
}

// serve answers each line, and each datagram, with itself.
func (w *wire) serve() {
	var tasks sync.WaitGroup
	w.in(w.node, func() {
		tcp, err := net.Listen("tcp", "[::]:8080")
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { tcp.Close(); tasks.Wait() })
		tasks.Go(func() {
			for {
				conn, err := tcp.Accept()
				if err != nil {
					return
				}
				w.t.Cleanup(func() { conn.Close() })
				tasks.Go(func() { echo(conn) })
			}
		})
		for _, at := range []string{"10.7.0.1:8080", "[fd07::1]:8080"} {
			udp, err := net.ListenPacket("udp", at)
			if err != nil {
				w.t.Fatal(err)
			}
			w.t.Cleanup(func() { udp.Close() })
			tasks.Go(func() {
				for b := make([]byte, 64); ; {
					n, from, err := udp.ReadFrom(b)
					if err != nil {
						return
					}
					if _, err := udp.WriteTo(b[:n], from); err != nil {
						return
					}
				}
			})
		}
	})
}

func echo(conn net.Conn) {
	for b := make([]byte, 64); ; {
		n, err := conn.Read(b)
		if err != nil {
			return
		}
		if _, err := conn.Write(b[:n]); err != nil {
			return
		}
	}
}

// patience with an answer: refused packets get none at all.
const patience = 300 * time.Millisecond

// plenty is enough for an answer on a busy machine.
const plenty = 20 * time.Second

// dial opens a connection from one of the client's addresses.
func (w *wire) dial(network, from, to string, within time.Duration) (conn net.Conn, err error) {
	w.in(w.client, func() {
		d := net.Dialer{Timeout: within}
		if network == "tcp" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		} else {
			d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(from)}
		}
		conn, err = d.Dial(network, to)
	})
	if err == nil {
		w.t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

// answers tells whether something comes back over a connection within a time.
func answers(conn net.Conn, within time.Duration) bool {
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		return false
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		return false
	}
	n, err := conn.Read(make([]byte, 64))
	return err == nil && n == 5
}

// reaches tells whether the Service answers the client at one of its addresses, over a new connection.
func (w *wire) reaches(network, from, to string) bool {
	conn, err := w.dial(network, from, to, patience)
	return err == nil && answers(conn, patience)
}

// want checks who gets an answer: from>to for each path that should be open or shut.
func (w *wire) want(open bool, paths ...string) {
	w.t.Helper()
	for _, p := range paths {
		from, to, _ := strings.Cut(p, ">")
		for _, network := range []string{"tcp", "udp"} {
			got := w.reaches(network, from, to)
			for begin := time.Now(); open && !got && time.Since(begin) < plenty; {
				got = w.reaches(network, from, to) // on a busy machine an answer may take longer than the patience
			}
			if got != open {
				w.t.Errorf("%s %s: answered %v, want %v", network, p, got, open)
			}
		}
	}
}

func (w *wire) apply(table *Table, entries ...Entry) {
	w.t.Helper()
	w.in(w.node, func() {
		if err := table.Apply(w.t.Context(), entries); err != nil {
			w.t.Fatal(err)
		}
	})
}

// entry80 limits port 80 of the Service's address of one family to what is allowed.
func entry80(addr string, allowed, denied []netip.Prefix) Entry {
	return Entry{
		Name: "shop at " + addr, Address: netip.MustParseAddr(addr), Ports: []Port{{TCP, 80}, {UDP, 80}},
		Limited: allowed != nil, Allowed: allowed, Denied: denied,
	}
}

func TestPacketsAreRefusedBySource(t *testing.T) {
	w, table := newWire(t), New()
	paths4 := []string{good4 + ">10.8.0.100:80", bad4 + ">10.8.0.100:80"}
	paths6 := []string{good6 + ">[fd08::100]:80", bad6 + ">[fd08::100]:80"}
	w.want(true, append(paths4, paths6...)...)

	w.apply(table, entry80(service4, prefixes(good4+"/32"), nil), entry80(service6, prefixes(good6+"/128", "2001:db8::/32"), nil))
	w.want(true, paths4[0], paths6[0])
	w.want(false, paths4[1], paths6[1])
	w.want(true, bad4+">10.8.0.100:81", bad6+">[fd08::100]:81", bad4+">10.7.0.1:8080")

	w.apply(table, entry80(service4, nil, prefixes(good4+"/32")), entry80(service6, prefixes("::/0"), prefixes(good6+"/127")))
	w.want(true, paths4[1])
	w.want(false, paths4[0], paths6[0], paths6[1])

	w.apply(table)
	w.want(true, append(paths4, paths6...)...)
	w.in(w.node, func() {
		if out, err := exec.Command("nft", "list", "table", "inet", "fairlead").CombinedOutput(); err == nil {
			t.Errorf("a table without entries is left: %s", out)
		}
	})
}

// TestConnectionsOfTheRefusedEnd: rules look at every packet.
func TestConnectionsOfTheRefusedEnd(t *testing.T) {
	w, table := newWire(t), New()
	for _, network := range []string{"tcp", "udp"} {
		w.want(true, bad4+">10.8.0.100:80")
		conn, err := w.dial(network, bad4, "10.8.0.100:80", plenty)
		if err != nil || !answers(conn, plenty) {
			t.Fatalf("%s: no answer before there are rules: %v", network, err)
		}
		w.apply(table, entry80(service4, prefixes(good4+"/32"), nil))
		if answers(conn, patience) {
			t.Errorf("%s: a connection of a refused client goes on", network)
		}
		w.apply(table)
	}
}

// TestRulesOutliveTheProgram: a new run takes over what the last one left, and at no time is anything open.
func TestRulesOutliveTheProgram(t *testing.T) {
	w := newWire(t)
	entry := entry80(service4, prefixes(good4+"/32"), nil)
	w.apply(New(), entry)
	w.want(false, bad4+">10.8.0.100:80")
	conn, err := w.dial("udp", bad4, "10.8.0.100:80", plenty)
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		answered := 0
		for {
			select {
			case <-stop:
				done <- answered
				return
			default:
			}
			if _, err := conn.Write([]byte("hello")); err != nil {
				continue
			}
			if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
				continue
			}
			if _, err := conn.Read(make([]byte, 64)); err == nil {
				answered++
			}
		}
	}()
	other := entry80(service6, prefixes(good6+"/128"), nil)
	for range 10 {
		table := New()
		w.apply(table, entry)
		w.apply(table, entry, other)
		w.apply(table, entry80(service4, prefixes(good4+"/31"), prefixes(bad4+"/32")), other)
	}
	close(stop)
	if n := <-done; n > 0 {
		t.Errorf("%d packets of a refused client got through while rules changed", n)
	}
	w.want(true, good4+">10.8.0.100:80")
	w.in(w.node, func() {
		if err := New().Apply(t.Context(), nil); err != nil {
			t.Error(err)
		}
	})
	w.want(true, bad4+">10.8.0.100:80")
}

func TestRefusedPacketsAreCounted(t *testing.T) {
	w, table := newWire(t), New()
	entry := entry80(service4, prefixes(good4+"/32"), nil)
	w.apply(table, entry)
	w.want(true, good4+">10.8.0.100:80")
	refused := func() (n uint64) {
		w.in(w.node, func() {
			all, err := table.Refused(t.Context())
			if err != nil {
				t.Error(err)
			}
			n = all[entry.Name]
		})
		return n
	}
	if n := refused(); n != 0 {
		t.Errorf("%d packets refused, and all were allowed", n)
	}
	w.want(false, bad4+">10.8.0.100:80")
	if n := refused(); n < 2 {
		t.Errorf("%d packets refused, want 2 at least", n)
	}
}

func TestFlushedTablesAreNoticed(t *testing.T) {
	w, table := newWire(t), New()
	entries := []Entry{entry80(service4, prefixes(good4+"/32"), nil), entry80(service6, prefixes(good6+"/128"), prefixes(bad6+"/128"))}
	for _, flush := range []string{
		"nft delete table inet fairlead", "nft flush table inet fairlead", "nft flush chain inet fairlead prerouting",
		"nft flush map inet fairlead services4",
	} {
		w.apply(table, entries...)
		for _, want := range []bool{true, false} {
			w.in(w.node, func() {
				if intact, err := table.Intact(t.Context()); err != nil || intact != want {
					t.Errorf("%s: intact %v, %v; want %v", flush, intact, err, want)
				}
			})
			w.run(w.node, "nft list table inet fairlead >/dev/null 2>&1 && "+flush+" || true")
		}
		w.apply(table, entries...)
		w.want(false, bad4+">10.8.0.100:80")
	}
}
