// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// segmentOf returns a TCP segment with one byte of data from the port to port 80.
func segmentOf(from, to netip.Addr, port uint16, flags byte, seq uint32) []byte {
	b := binary.BigEndian.AppendUint16(nil, port)
	b = binary.BigEndian.AppendUint16(b, 80)
	b = binary.BigEndian.AppendUint32(b, seq)
	b = binary.BigEndian.AppendUint32(b, seq) // acknowledged
	b = append(b, 5<<4, flags, 1, 0, 0, 0, 0, 0, 'x')
	binary.BigEndian.PutUint16(b[16:], checksum(from, to, b))
	return b
}

// checksum is that of RFC 9293 section 3.1, over the pseudo header and the segment.
func checksum(from, to netip.Addr, segment []byte) uint16 {
	b := slices.Concat(from.AsSlice(), to.AsSlice(), []byte{0, unix.IPPROTO_TCP, 0, byte(len(segment))}, segment, make([]byte, len(segment)%2))
	var sum uint32
	for ; len(b) > 0; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	sum = sum>>16 + sum&0xffff
	return ^uint16(sum>>16 + sum)
}

// raw opens a socket for TCP segments as they are: from here to the address, or of those that arrive at it.
func (m *machine) raw(from, to netip.Addr) *net.IPConn {
	m.t.Helper()
	network := "ip4:6"
	if from.Is6() {
		network = "ip6:6"
	}
	var conn *net.IPConn
	m.do(func() (err error) {
		if to.IsValid() {
			conn, err = net.DialIP(network, &net.IPAddr{IP: from.AsSlice()}, &net.IPAddr{IP: to.AsSlice()})
		} else {
			conn, err = net.ListenIP(network, &net.IPAddr{IP: from.AsSlice()})
		}
		return err
	})
	m.t.Cleanup(func() { conn.Close() })
	return conn
}

// TestOnlyStrangersAreHandedOn: the kernel calls a packet invalid too that does not fit a connection it knows. The former
// machine might take it for the first of a new connection, and have the client reset the one that is well.
func TestOnlyStrangersAreHandedOn(t *testing.T) {
	machines := segment(t, 3)
	client, former, now := machines[0], machines[1], machines[2]
	now.do(func() error { _, err := Open(); return err }) // has the kernel track connections, and know of the setting
	for _, tc := range []struct {
		name            string
		addr, from, via netip.Addr
		loose           string
	}{
		{"IPv4", netip.MustParseAddr("10.9.0.100"), client.a4, former.a4, "1"},
		{"IPv6", netip.MustParseAddr("fd09::100"), client.a6, former.a6, "1"},
		// Then the former machine knows the packet for what it is, and drops it.
		{"strict tracking", netip.MustParseAddr("10.9.0.101"), client.a4, former.a4, "0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			now.do(func() error {
				return os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_tcp_loose", []byte(tc.loose), 0)
			})
			var r *Relay
			now.do(func() (err error) { r, err = Open(); return err })
			now.do(func() error { return r.Keep(map[netip.Addr]netip.Addr{tc.addr: tc.via}) })
			former.serve(tc.addr)
			now.serve(tc.addr)
			client.send(tc.addr, now.mac)
			conn, err := client.dial(tc.addr, patience)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if !echo(t, conn, patience) {
				t.Fatal("the connection is not answered")
			}
			known := uint16(conn.LocalAddr().(*net.TCPAddr).Port)
			arriving := former.raw(tc.addr, netip.Addr{})
			out := client.raw(tc.from, tc.addr)
			const ack, syn, fin, rst, last = 11, 12, 13, 14, 15
			for _, s := range [][]byte{
				// Whatever the window, one of the two is beyond it.
				segmentOf(tc.from, tc.addr, known, flagACK, 0), segmentOf(tc.from, tc.addr, known, flagACK, 1<<31),
				segmentOf(tc.from, tc.addr, ack, flagACK, 1000), segmentOf(tc.from, tc.addr, syn, flagSYN, 1000),
				segmentOf(tc.from, tc.addr, fin, flagFIN|flagACK, 1000), segmentOf(tc.from, tc.addr, rst, flagRST, 1000),
				segmentOf(tc.from, tc.addr, last, flagACK, 1000),
			} {
				if _, err := out.Write(s); err != nil {
					t.Fatal(err)
				}
			}
			want := []uint16{ack, fin, rst, last}
			if tc.loose == "0" {
				want = append(want, known)
			}
			if got := portsWith(t, arriving, want); len(got) != len(want) {
				t.Errorf("handed on: segments from the ports %d, want %d; the connection's is %d", got, want, known)
			}
			if !echo(t, conn, patience) {
				t.Error("the connection is broken")
			}
		})
	}
}

// portsWith returns the ports that segments come from, once all that are wanted are among them.
func portsWith(t *testing.T, conn *net.IPConn, want []uint16) []uint16 {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var ports []uint16
	missing := func(p uint16) bool { return !slices.Contains(ports, p) }
	for b := make([]byte, 1500); slices.ContainsFunc(want, missing); {
		n, _, err := conn.ReadFromIP(b)
		if err != nil || n < 20 {
			t.Fatalf("after segments from the ports %d, where %d are wanted: %d bytes, %v", ports, want, n, err)
		}
		if port := binary.BigEndian.Uint16(b); missing(port) {
			ports = append(ports, port)
		}
	}
	return ports
}
