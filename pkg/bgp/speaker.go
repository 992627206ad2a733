// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/pkg/server"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/wake"
)

// ErrStopped is returned by a Speaker that was stopped.
var ErrStopped = errors.New("bgp speaker is stopped")

// Config of a Speaker. The zero value is the usual one.
type Config struct {
	// ListenPort accepts connections of peers; 0 opens no socket.
	ListenPort uint16
	// ListenAddresses limit where. Default: all addresses.
	ListenAddresses []netip.Addr
}

// Speaker announces what it is told to. There can be one in a process: GoBGP has process-wide settings. Its methods may
// be called by any goroutine.
type Speaker struct {
	cfg     Config
	changed wake.Signal
	board   *board
	find    func(ifname string) (netip.Addr, error)
	rest    time.Duration // limitRest
	adverts *advertisers

	// mu serialises all that changes the server.
	mu      sync.Mutex
	server  *server.BgpServer // nil until there is a peer
	log     *logBridge
	end     context.CancelFunc
	tasks   sync.WaitGroup
	desired Desired
	drained bool
	stopped bool
	everHad bool // there were peers before: new ones are not restarts
	// resumed are the peers of the beginning that have not been connected to yet: they may have kept routes of the process
	// before this one, and an unnumbered one takes its time to be found.
	resumed  map[string]bool
	routerID netip.Addr
	peers    map[string]*applied
	routes   map[netip.Prefix]class
	classes  *classes
	policy   int // number of the export policy in force
	held     map[netip.Addr]bool
	sets     map[string][]netip.Addr // the server's neighbor sets
	tags     map[class]bool          // the server's community sets
}

// applied is a peer that the server has, or would have if its address were known.
type applied struct {
	Peer
	// at is where it is; invalid while an unnumbered peer has not been found.
	at netip.Addr
	// enableBy is when a session is opened that still waits for BFD; zero once it is open.
	enableBy time.Time
	bfd      string
	// rerouted is set while the peer has not been told of new next hops.
	rerouted bool
}

// New returns a Speaker that does nothing until Apply.
func New(cfg Config) *Speaker {
	changed := wake.New()
	adverts := newAdvertisers()
	return &Speaker{
		cfg: cfg, changed: changed, board: newBoard(changed), adverts: adverts, find: adverts.router, rest: limitRest,
		peers: map[string]*applied{}, routes: map[netip.Prefix]class{}, classes: newClasses(),
		held: map[netip.Addr]bool{}, sets: map[string][]netip.Addr{}, tags: map[class]bool{}, resumed: map[string]bool{},
	}
}

// Apply makes the sessions and announcements what they should be, and returns when the server has them; the peers get
// them behind that. What is wrong with single peers or routes is returned, and the rest is applied.
func (s *Speaker) Apply(ctx context.Context, d Desired) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return ErrStopped
	}
	s.desired = d
	return s.reconcile(ctx)
}

// Drain announces all routes as those of a speaker about to go, with the community GRACEFUL_SHUTDOWN and local
// preference 0 (RFC 8326), for as long as the Speaker runs. Traffic is to be forwarded until the peers have followed.
func (s *Speaker) Drain(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return ErrStopped
	}
	s.drained = true
	return s.reconcile(ctx)
}

// Stop ends all sessions and waits for the end of everything. With keepRoutes, peers with graceful restart are left
// without a word, so that they keep the routes for the time they were told; all others get a Cease (RFC 4486).
func (s *Speaker) Stop(ctx context.Context, keepRoutes bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.adverts.stop(ctx)
	err := s.halt(ctx, keepRoutes)
	s.board.clear()
	return err
}

// Changed wakes whoever wants to know that Sessions may return something else.
func (s *Speaker) Changed() <-chan struct{} { return s.changed }

// Sessions returns how it stands with each desired peer, by name.
func (s *Speaker) Sessions() []Session { return s.board.sessions() }

// usable returns the peers that can be tried, and tells the board and the caller of the others.
func (s *Speaker) usable(peers []Peer) (map[string]Peer, []Peer, error) {
	byName := map[string]Peer{}
	var list []Peer
	var errs []error
	for _, p := range peers {
		err := p.validate()
		if _, twice := byName[p.Name]; err == nil && twice {
			err = errors.New("there is another peer of this name")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("bgp peer %q: %w", p.Name, err))
			s.board.fail(p.Name, err.Error())
			continue
		}
		byName[p.Name] = p
		list = append(list, p)
	}
	return byName, list, errors.Join(errs...)
}

// interfaces are those of the unnumbered peers.
func interfaces(peers []Peer) map[string]bool {
	out := map[string]bool{}
	for _, p := range peers {
		if p.Interface != "" {
			out[p.Interface] = true
		}
	}
	return out
}

// reconcile makes the server what s.desired says.
func (s *Speaker) reconcile(ctx context.Context) error {
	names := map[string]bool{}
	for _, p := range s.desired.Peers {
		names[p.Name] = true
	}
	s.board.keep(names)
	byName, list, err := s.usable(s.desired.Peers)
	s.adverts.want(ctx, interfaces(list))
	if s.server != nil && s.routerID != s.desired.RouterID {
		klog.FromContext(ctx).Info("BGP identifier changed, restarting all sessions", "routerID", s.desired.RouterID)
		err = errors.Join(err, s.halt(ctx, false))
	}
	if s.server == nil {
		if len(list) == 0 {
			return err
		}
		if e := s.start(ctx, list[0].LocalASN); e != nil {
			return errors.Join(err, e)
		}
	}
	err = errors.Join(err, s.removePeers(ctx, byName))
	for _, p := range list {
		if _, ok := s.peers[p.Name]; !ok {
			s.peers[p.Name] = &applied{Peer: p}
			s.board.add(p.Name)
		}
		if !s.everHad {
			s.resumed[p.Name] = true
		}
	}
	// Routes first: a session that comes up tells its peer all there is, and then that this was all.
	err = errors.Join(err, s.setRoutes(ctx, list))
	err = errors.Join(err, s.reroute(ctx), s.addPeers(ctx, list))
	s.everHad = s.everHad || len(list) > 0
	return err
}
