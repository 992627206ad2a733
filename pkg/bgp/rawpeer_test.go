// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// rawPeer is a router whose every byte a test chooses, on a loopback address of its own.
type rawPeer struct {
	name     string
	at       netip.AddrPort
	listener net.Listener
}

// newRawPeer listens at 127.0.1.n.
func newRawPeer(t testing.TB, n int) *rawPeer {
	t.Helper()
	if os.Geteuid() == 0 {
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.1.%d:0", n))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &rawPeer{name: fmt.Sprintf("raw-%d", n), at: netip.MustParseAddrPort(l.Addr().String()), listener: l}
}

func (p *rawPeer) peer() Peer {
	return Peer{
		Name: p.name, Address: p.at.Addr(), Port: p.at.Port(), ASN: 64500, LocalASN: 64512, ConnectRetry: time.Second,
		GracefulRestart: 10 * time.Second, LongLivedStale: 10 * time.Second,
	}
}

// rawSession is an established session with the speaker.
type rawSession struct {
	net.Conn
	// updates gets one token for all UPDATEs since the last was taken; done is closed at the end of the connection.
	updates chan struct{}
	done    chan struct{}
	// free is for who hands sessions out.
	free chan struct{}
}

// establish waits for the speaker's next connection and brings the session up.
func (p *rawPeer) establish(ctx context.Context) (*rawSession, error) {
	stop := context.AfterFunc(ctx, func() { p.listener.Close() })
	defer stop()
	conn, err := p.listener.Accept()
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err := p.greet(conn); err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	s := &rawSession{Conn: conn, updates: make(chan struct{}, 1), done: make(chan struct{})}
	go s.read()
	return s, nil
}

// greet exchanges OPEN and KEEPALIVE.
func (p *rawPeer) greet(conn net.Conn) error {
	for _, m := range []*bgp.BGPMessage{p.open(), bgp.NewBGPKeepAliveMessage()} {
		b, err := m.Serialize()
		if err != nil {
			return err
		}
		if _, err := conn.Write(b); err != nil {
			return err
		}
	}
	for _, want := range []uint8{bgp.BGP_MSG_OPEN, bgp.BGP_MSG_KEEPALIVE} {
		if kind, err := readMessage(conn); err != nil || kind != want {
			return fmt.Errorf("message of type %d, %w: want type %d", kind, err, want)
		}
	}
	return nil
}

func (p *rawPeer) open() *bgp.BGPMessage {
	families := []bgp.Family{bgp.RF_IPv4_UC, bgp.RF_IPv6_UC}
	caps := []bgp.ParameterCapabilityInterface{
		bgp.NewCapRouteRefresh(), bgp.NewCapFourOctetASNumber(64500), bgp.NewCapExtendedMessage(),
		bgp.NewCapExtendedNexthop([]*bgp.CapExtendedNexthopTuple{bgp.NewCapExtendedNexthopTuple(bgp.RF_IPv4_UC, bgp.AFI_IP6)}),
	}
	var restart []*bgp.CapGracefulRestartTuple
	var long []*bgp.CapLongLivedGracefulRestartTuple
	for _, f := range families {
		caps = append(caps, bgp.NewCapMultiProtocol(f))
		restart = append(restart, bgp.NewCapGracefulRestartTuple(f, true))
		long = append(long, bgp.NewCapLongLivedGracefulRestartTuple(f, true, 10))
	}
	caps = append(caps, bgp.NewCapGracefulRestart(false, true, 10, restart), bgp.NewCapLongLivedGracefulRestart(long))
	m, _ := bgp.NewBGPOpenMessage(64500, 90, p.at.Addr(), []bgp.OptionParameterInterface{bgp.NewOptionParameterCapability(caps)})
	return m
}

// readMessage reads one message and returns its type.
func readMessage(r io.Reader) (uint8, error) {
	header := make([]byte, bgp.BGP_HEADER_LENGTH)
	if _, err := io.ReadFull(r, header); err != nil {
		return 0, err
	}
	_, err := io.CopyN(io.Discard, r, int64(binary.BigEndian.Uint16(header[16:]))-int64(len(header)))
	return header[18], err
}

func (s *rawSession) read() {
	defer close(s.done)
	for {
		kind, err := readMessage(s.Conn)
		if err != nil {
			return
		}
		if kind == bgp.BGP_MSG_UPDATE {
			select {
			case s.updates <- struct{}{}:
			default:
			}
		}
	}
}

// survives sends a message and tells whether the session goes on: whether the speaker, having worked the message off,
// answers the next one, a request to send its routes again, in time.
func (s *rawSession) survives(message []byte, patience time.Duration) bool {
	select {
	case <-s.updates:
	default:
	}
	refresh := frame(bgp.BGP_MSG_ROUTE_REFRESH, []byte{0, bgp.AFI_IP, 0, bgp.SAFI_UNICAST})
	if _, err := s.Write(append(message, refresh...)); err != nil {
		<-s.done
		return false
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.updates:
		return true
	case <-s.done:
	case <-timer.C:
	}
	return false
}

// end closes the connection and waits for the reader.
func (s *rawSession) end() {
	s.Close()
	<-s.done
}

// frame puts a header before a body.
func frame(kind uint8, body []byte) []byte {
	b := make([]byte, bgp.BGP_HEADER_LENGTH, bgp.BGP_HEADER_LENGTH+len(body))
	for i := range 16 {
		b[i] = 0xFF
	}
	binary.BigEndian.PutUint16(b[16:], uint16(bgp.BGP_HEADER_LENGTH+len(body)))
	b[18] = kind
	return append(b, body...)
}
