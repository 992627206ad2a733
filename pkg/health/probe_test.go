// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// probed makes one probe and compares its error, in which TARGET stands for the target; want "" means that it passes.
func probed(t *testing.T, name string, c Check, want string) {
	t.Helper()
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Interval == 0 {
		c.Interval = 10 * time.Second
	}
	got := ""
	if err := Probe(t.Context(), c); err != nil {
		got = strings.ReplaceAll(err.Error(), c.Target.String(), "TARGET")
	}
	if got != want {
		t.Errorf("%s: %q, want %q", name, got, want)
	}
}

// closed returns a port of the loopback address that nobody listens on, and which stays so: it is connected elsewhere.
func closed(t *testing.T, network string) netip.AddrPort {
	t.Helper()
	peer, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	switch network {
	case "udp":
		// A connected socket takes nothing from others, so that they are told that the port is closed.
		conn, err := net.Dial("udp", peer.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return netip.MustParseAddrPort(conn.LocalAddr().String())
	default:
		// The number of a port in use for UDP is free for TCP, and no listener gets it by chance: port 1 is nobody's.
		return netip.MustParseAddrPort("127.0.0.1:1")
	}
}

func listenTCP(t *testing.T) (net.Listener, netip.AddrPort) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, netip.MustParseAddrPort(l.Addr().String())
}

func TestProbeTCP(t *testing.T) {
	_, open := listenTCP(t)
	probed(t, "open", Check{Type: TCP, Target: open}, "")
	probed(t, "closed", Check{Type: TCP, Target: closed(t, "tcp")}, "TCP TARGET: connect: connection refused")
}

func TestProbeUDP(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 64); ; {
			_, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			if _, err := server.WriteTo([]byte("much more than one byte"), from); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { server.Close(); <-done })
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	at := func(c net.PacketConn) netip.AddrPort { return netip.MustParseAddrPort(c.LocalAddr().String()) }
	probed(t, "answered", Check{Type: UDP, Target: at(server)}, "")
	begin := time.Now()
	probed(t, "silent", Check{Type: UDP, Target: at(silent), Interval: 50 * time.Millisecond}, "")
	if took := time.Since(begin); took < 50*time.Millisecond {
		t.Errorf("an answer was waited for %v, want the interval", took)
	}
	probed(t, "refused", Check{Type: UDP, Target: closed(t, "udp")}, "UDP TARGET: read: connection refused")
}

// website answers by path, and says whom the request was for.
func website(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/":
		fmt.Fprintln(w, "hello")
	case "/moved":
		http.Redirect(w, r, "/missing", http.StatusFound)
	case "/early":
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNoContent)
	case "/endless":
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	case "/hangs":
		<-r.Context().Done()
	case "/method":
		if r.Method != r.URL.RawQuery {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	case "/host":
		name := r.Host
		if r.TLS != nil {
			name += " " + r.TLS.ServerName
		}
		if name != "shop.example shop.example" && (r.TLS != nil || name != "shop.example") {
			w.WriteHeader(http.StatusMisdirectedRequest)
		}
	default:
		http.NotFound(w, r)
	}
}

func TestProbeHTTP(t *testing.T) {
	plain, secure := httptest.NewServer(http.HandlerFunc(website)), httptest.NewTLSServer(http.HandlerFunc(website))
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	for _, server := range []struct {
		kind Type
		at   string
	}{{HTTP, plain.Listener.Addr().String()}, {HTTPS, secure.Listener.Addr().String()}} {
		target, scheme := netip.MustParseAddrPort(server.at), strings.ToLower(string(server.kind))
		for _, tc := range []struct {
			name  string
			check Check
			want  string
		}{
			{"default path", Check{}, ""},
			{"missing", Check{Path: "/missing"}, "GET " + scheme + "://TARGET/missing: status 404, want 200-399"},
			{"missing and asked for", Check{Path: "missing", Codes: []Codes{{200, 200}, {404, 404}}}, ""},
			{"other codes", Check{Codes: []Codes{{204, 204}, {300, 399}}}, "GET " + scheme + "://TARGET/: status 200, want 204, 300-399"},
			{"redirect is not followed", Check{Path: "/moved"}, ""},
			{"what precedes the answer is not it", Check{Path: "/early", Codes: []Codes{{204, 204}}}, ""},
			{"body without end", Check{Path: "/endless"}, ""},
			{"method", Check{Path: "/method?HEAD", Method: "HEAD"}, ""},
			{"host", Check{Path: "/host", Host: "shop.example"}, ""},
			{"no answer", Check{Path: "/hangs", Timeout: 50 * time.Millisecond}, "GET " + scheme + "://TARGET/hangs: no answer in time (50ms)"},
		} {
			check := tc.check
			check.Type, check.Target = server.kind, target
			probed(t, scheme+" "+tc.name, check, tc.want)
		}
	}
	probed(t, "refused", Check{Type: HTTP, Target: closed(t, "tcp")}, "GET http://TARGET/: connect: connection refused")
	probed(t, "bad path", Check{Type: HTTP, Target: closed(t, "tcp"), Path: "/%zz"},
		`HTTP: path "/%zz": parse "http://TARGET/%zz": invalid URL escape "%zz"`)
}

// givesUp is a server that finds its time over before the client does.
type givesUp struct {
	healthv1.UnimplementedHealthServer
}

func (givesUp) Check(context.Context, *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	return nil, context.DeadlineExceeded
}

// serveGRPC has a health service answer until the test is over.
func serveGRPC(t *testing.T, health healthv1.HealthServer) netip.AddrPort {
	l, target := listenTCP(t)
	server := grpc.NewServer()
	healthv1.RegisterHealthServer(server, health)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return target
}

func TestProbeGRPC(t *testing.T) {
	states := grpchealth.NewServer()
	states.SetServingStatus("shop", healthv1.HealthCheckResponse_NOT_SERVING)
	target := serveGRPC(t, states)
	probed(t, "serving", Check{Type: GRPC, Target: target}, "")
	probed(t, "not serving", Check{Type: GRPC, Target: target, Path: "shop"}, `gRPC health of "shop" at TARGET: status NOT_SERVING, want SERVING`)
	probed(t, "unknown", Check{Type: GRPC, Target: target, Path: "till"}, `gRPC health of "till" at TARGET: NotFound: unknown service`)
	probed(t, "refused", Check{Type: GRPC, Target: closed(t, "tcp")}, `gRPC health of "" at TARGET: connect: connection refused`)
	_, silent := listenTCP(t)
	probed(t, "no answer", Check{Type: GRPC, Target: silent, Timeout: 50 * time.Millisecond}, `gRPC health of "" at TARGET: no answer in time (50ms)`)
	probed(t, "given up", Check{Type: GRPC, Target: serveGRPC(t, givesUp{})}, `gRPC health of "" at TARGET: no answer in time (10s)`)
}

// TestProbeEndsWithItsContext cancels probes that are under way: the server has been asked and says nothing.
func TestProbeEndsWithItsContext(t *testing.T) {
	asked := make(chan struct{}, 1)
	silent := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	plain, secure := httptest.NewServer(silent), httptest.NewTLSServer(silent)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	datagrams, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { datagrams.Close() })
	heard := make(chan error, 1)
	go func() {
		_, _, err := datagrams.ReadFrom(make([]byte, 1))
		heard <- err
		asked <- struct{}{}
	}()
	for _, server := range []struct {
		kind Type
		at   net.Addr
	}{{HTTP, plain.Listener.Addr()}, {HTTPS, secure.Listener.Addr()}, {UDP, datagrams.LocalAddr()}} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- Probe(ctx, Check{Type: server.kind, Target: netip.MustParseAddrPort(server.at.String()), Timeout: time.Hour, Interval: time.Hour})
		}()
		<-asked
		cancel()
		select {
		case err := <-ended:
			if err == nil {
				t.Errorf("%s: a probe passed after its end", server.kind)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: a probe goes on after its end", server.kind)
		}
	}
	if err := <-heard; err != nil {
		t.Error(err)
	}
}

func TestParseCodes(t *testing.T) {
	for _, tc := range []struct {
		text string
		want Codes
		ok   bool
	}{
		{"204", Codes{204, 204}, true},
		{"200-299", Codes{200, 299}, true},
		{"299-200", Codes{}, false},
		{"99", Codes{}, false},
		{"600", Codes{}, false},
		{"2xx", Codes{}, false},
		{"200-", Codes{}, false},
		{"", Codes{}, false},
	} {
		got, err := ParseCodes(tc.text)
		if got != tc.want || (err == nil) != tc.ok {
			t.Errorf("%q: %v, %v", tc.text, got, err)
		}
		if err == nil && got.String() != tc.text {
			t.Errorf("%q is written %q", tc.text, got)
		}
	}
}
