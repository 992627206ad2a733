// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// What the servers of a shop listen on, and the only names that their health answers to.
const (
	shopHTTP, shopUnchecked, shopHTTPS, shopGRPC = 8081, 8082, 8443, 9090

	shopHost, shopCart = "shop.example.com", "shop.Cart"
)

// failure is how a server fails what comes by way of one node.
type failure uint8

const (
	fits failure = iota
	says         // with an answer that does not pass
	hangs
)

// shop is an application in a pod: HTTP, HTTPS and gRPC, whose health is asked for in one way only. It can fail what comes
// by way of single nodes, the traffic of clients like the nodes' own: with externalTrafficPolicy Cluster both have the
// node's address.
type shop struct {
	healthv1.UnimplementedHealthServer

	mu      sync.Mutex
	failing map[string]map[netip.Addr]failure // by server
	// blips are how many health checks over HTTP are still to fail; passed is how many have passed, asked when.
	blips, passed map[netip.Addr]int
	asked         map[netip.Addr][]time.Time
}

// open starts the servers in a pod until the test ends.
func (s *space) open(pod *lab.Pod) *shop {
	s.t.Helper()
	v := &shop{
		failing: map[string]map[netip.Addr]failure{"http": {}, "off": {}, "https": {}, "grpc": {}},
		blips:   map[netip.Addr]int{}, passed: map[netip.Addr]int{}, asked: map[netip.Addr][]time.Time{},
	}
	web := &http.Server{Handler: http.HandlerFunc(v.serveHTTP), ReadHeaderTimeout: time.Minute}
	unchecked := &http.Server{Handler: http.HandlerFunc(v.serveUnchecked), ReadHeaderTimeout: time.Minute}
	secure := &http.Server{Handler: http.HandlerFunc(v.serveHTTPS), ReadHeaderTimeout: time.Minute, TLSConfig: &tls.Config{Certificates: []tls.Certificate{s.certificate(shopHost)}, MinVersion: tls.VersionTLS12}}
	cart := grpc.NewServer()
	healthv1.RegisterHealthServer(cart, v)
	var servers sync.WaitGroup
	for port, serve := range map[int]func(net.Listener) error{
		shopHTTP: web.Serve, shopUnchecked: unchecked.Serve, shopGRPC: cart.Serve,
		shopHTTPS: func(l net.Listener) error { return secure.ServeTLS(l, "", "") },
	} {
		listener := s.listen(pod, port)
		servers.Go(func() {
			if err := serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
				s.t.Error(err)
			}
		})
	}
	s.t.Cleanup(func() {
		cart.Stop()
		if err := errors.Join(web.Close(), unchecked.Close(), secure.Close()); err != nil {
			s.t.Error(err)
		}
		servers.Wait()
	})
	return v
}

func (s *space) listen(pod *lab.Pod, port int) (listener net.Listener) {
	s.t.Helper()
	err := s.InHost(pod.Host(), func() (err error) {
		listener, err = (&net.ListenConfig{}).Listen(s.t.Context(), "tcp", fmt.Sprintf("0.0.0.0:%d", port))
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return listener
}

// fail has a server fail what comes by way of a node, or no longer.
func (v *shop) fail(server string, node netip.Addr, how failure) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failing[server][node] = how
}

// failure returns by way of which node a request comes, and how that fails.
func (v *shop) failure(server string, r *http.Request) (netip.Addr, failure) {
	return v.failureBy(server, r.RemoteAddr)
}

func (v *shop) failureBy(server, client string) (netip.Addr, failure) {
	node := netip.MustParseAddrPort(client).Addr()
	v.mu.Lock()
	defer v.mu.Unlock()
	return node, v.failing[server][node]
}

// serveUnchecked fails as it is told.
func (v *shop) serveUnchecked(w http.ResponseWriter, r *http.Request) {
	if _, how := v.failure("off", r); how != fits {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// serveHTTP fails with an answer that passes unless only 2xx do.
func (v *shop) serveHTTP(w http.ResponseWriter, r *http.Request) {
	node, how := v.failure("http", r)
	checked := r.URL.Path == "/healthz"
	if checked && v.blip(node) {
		how = says
	}
	switch {
	case how == hangs:
		<-r.Context().Done()
	case how == says:
		w.WriteHeader(http.StatusFound)
	case checked && (r.Method != http.MethodHead || r.Host != shopHost):
		w.WriteHeader(http.StatusInternalServerError)
	case checked:
		v.mu.Lock()
		v.passed[node]++
		v.mu.Unlock()
	}
}

// blip takes note of a health check, and says whether it is one of those that are to fail.
func (v *shop) blip(node netip.Addr) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked[node] = append(v.asked[node], time.Now())
	if v.blips[node] == 0 {
		return false
	}
	v.blips[node]--
	v.passed[node] = 0
	return true
}

// blipped says how many health checks are still to fail, and how many have passed since the last that did.
func (v *shop) blipped(node netip.Addr) (left, passed int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.blips[node], v.passed[node]
}

// quickest returns the shortest time between two health checks by way of a node.
func (v *shop) quickest(node netip.Addr) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	least := time.Hour
	for i, at := range v.asked[node] {
		if i > 0 {
			least = min(least, at.Sub(v.asked[node][i-1]))
		}
	}
	return least
}

// serveHTTPS is healthy with 204, where the server's name and the request's are right.
func (v *shop) serveHTTPS(w http.ResponseWriter, r *http.Request) {
	switch _, how := v.failure("https", r); {
	case how == hangs:
		<-r.Context().Done()
	case how == says:
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path == "/healthz" && r.Host == shopHost && r.TLS.ServerName == shopHost:
		w.WriteHeader(http.StatusNoContent)
	}
}

// Check implements grpc.health.v1.Health.
func (v *shop) Check(ctx context.Context, r *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	by, _ := peer.FromContext(ctx)
	asked, _ := metadata.FromIncomingContext(ctx)
	if authority := asked.Get(":authority"); r.GetService() != shopCart || len(authority) != 1 || authority[0] != shopHost {
		return nil, status.Errorf(codes.NotFound, "no service %q at %q", r.GetService(), authority)
	}
	switch _, how := v.failureBy("grpc", by.Addr.String()); how {
	case hangs:
		<-ctx.Done()
		return nil, ctx.Err()
	case says:
		return &healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_NOT_SERVING}, nil
	}
	return &healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_SERVING}, nil
}

// askWeb asks for / by HTTP or HTTPS from the client's host.
func (s *space) askWeb(ctx context.Context, scheme string, at netip.AddrPort) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // whose it is does not matter here
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return s.Dial(ctx, lab.Client, network, address)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+at.String()+"/", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", at, response.Status)
	}
	return nil
}

// askCart asks by gRPC from the client's host.
func (s *space) askCart(ctx context.Context, at netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+at.String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority(shopHost), grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return s.Dial(ctx, lab.Client, "tcp", address)
		}))
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{Service: shopCart})
	if err == nil && answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		err = fmt.Errorf("%s answered %s", at, answer.GetStatus())
	}
	return err
}
