// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/wake"
)

// ErrNoInterface says that no usable interface was found for an address.
var ErrNoInterface = errors.New("no usable interface")

// Config of a speaker; zero fields get defaults.
type Config struct {
	// Schedule of unasked announcements; DefaultSchedule if its Burst is empty.
	Schedule Schedule
	// AnnouncementsPerSecond caps unasked announcements over all interfaces;
	// 25,000 if zero, which brings 10,000 addresses over in 0.4 s. Up to a
	// twentieth of it may go out at once.
	AnnouncementsPerSecond int
	// Probe is the timing of Probe; QuickProbe if zero.
	Probe ProbeTiming
}

// Announcement is an address that this machine shall have.
type Announcement struct {
	Address netip.Addr
	// Interfaces are name patterns, see Choose. Empty: by subnet.
	Interfaces []string
}

// State is what is done about one announcement now.
type State struct {
	Address netip.Addr
	// Interfaces are the names of those that the address is answered on;
	// empty while none is usable.
	Interfaces []string
	// Fallback: see Choice.
	Fallback bool
	// Since is when the first announcement went out on any of the interfaces;
	// zero while none has.
	Since time.Time
	// Err is why an interface could not be used; nil in health. It is
	// tried again every second.
	Err error
}

// Speaker answers and announces addresses on the links of the network
// namespace that it runs in. Its methods may be called from any goroutine.
type Speaker struct {
	config    Config
	announcer *announcer
	arp, ndp  familyCounters

	conflicts chan Conflict
	dropped   atomic.Uint64
	changed   wake.Signal
	who       atomic.Pointer[identities]

	mu     sync.Mutex
	ctx    context.Context // Run's, nil when not running: the parent of ports
	links  []Link
	peers  map[MAC]string
	wanted map[netip.Addr]*placement
	ports  map[portKey]*port
	retry  wake.Signal
}

// placement is a wanted address with its entries on ports.
type placement struct {
	Announcement
	fallback bool
	entries  []*entry
	// silent is until when new entries announce nothing: Postpone may come while
	// the link is down.
	silent time.Time
	err    error
}

// New makes a speaker. Nothing is sent or answered until Run.
func New(config Config) *Speaker {
	if len(config.Schedule.Burst) == 0 {
		config.Schedule = DefaultSchedule()
	}
	if config.AnnouncementsPerSecond == 0 {
		config.AnnouncementsPerSecond = 25_000
	}
	if config.Probe == (ProbeTiming{}) {
		config.Probe = QuickProbe()
	}
	s := &Speaker{
		config:    config,
		announcer: newAnnouncer(config.Schedule, config.AnnouncementsPerSecond),
		conflicts: make(chan Conflict, 256),
		changed:   wake.New(),
		wanted:    map[netip.Addr]*placement{},
		ports:     map[portKey]*port{},
		retry:     wake.New(),
	}
	s.who.Store(&identities{})
	return s
}

// Run serves until ctx is done, then stops answering and returns nil. It
// returns an error when the kernel does not let it watch the links. It logs to
// the context's logger, and may be called once.
func (s *Speaker) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { s.announcer.run(ctx) })
	wg.Go(func() { s.maintain(ctx) })
	err := watchLinks(ctx, s.setLinks)
	cancel()
	s.shutdown()
	wg.Wait()
	return err
}

func (s *Speaker) shutdown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx = nil
	for key, p := range s.ports {
		p.close()
		delete(s.ports, key)
	}
	for _, w := range s.wanted {
		w.entries = nil
	}
}

// Apply makes the wanted addresses exactly those of plan. Addresses that are
// new are answered and announced, those no longer named are not answered from
// here on, the others are left as they are. Those with errors (an invalid
// address, a bad pattern, an interface that cannot be opened) do not keep the
// rest from being applied.
func (s *Speaker) Apply(plan []Announcement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	keep := make(map[netip.Addr]struct{}, len(plan))
	for _, a := range plan {
		keep[a.Address.Unmap()] = struct{}{}
	}
	for addr := range s.wanted {
		if _, ok := keep[addr]; !ok {
			s.remove(addr)
		}
	}
	return s.add(plan)
}

// Add makes the addresses wanted beside those that are already.
func (s *Speaker) Add(announcements ...Announcement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(announcements)
}

// Postpone puts off what is still to be announced of the address without being
// asked, for the time given, but for the first announcement of all; questions
// are answered. Once it has returned nothing is on its way. It does nothing if
// the address is not wanted.
func (s *Speaker) Postpone(addr netip.Addr, by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.wanted[addr.Unmap()]; w != nil {
		w.silent = time.Now().Add(by)
		s.announcer.postpone(w.entries, w.silent)
	}
}

// Reannounce announces the address as after a takeover, whatever Postpone said.
// It does nothing if the address is not wanted.
func (s *Speaker) Reannounce(addr netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.wanted[addr.Unmap()]; w != nil {
		w.silent = time.Time{}
		s.announcer.restart(w.entries)
	}
}

// Remove stops answering for the addresses, and announcing them, before it
// returns. Their traffic still arrives until neighbours hear of another station.
func (s *Speaker) Remove(addrs ...netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range addrs {
		s.remove(a.Unmap())
	}
}

// SetPeers names the hardware addresses of the cluster's other machines, so
// that their claims are told from strangers'. The map is copied.
func (s *Speaker) SetPeers(peers map[MAC]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers = make(map[MAC]string, len(peers))
	maps.Copy(s.peers, peers)
	s.who.Store(newIdentities(s.links, s.peers))
}

// Conflicts delivers other stations' claims of announced addresses, at most
// one of a peer and one of a stranger per address, interface and 10 s. What is
// not read in time is dropped
// and counted. The channel is never closed.
func (s *Speaker) Conflicts() <-chan Conflict { return s.conflicts }

// LinksChanged delivers a value after Links has changed; several changes may
// come as one. The channel is never closed.
func (s *Speaker) LinksChanged() <-chan struct{} { return s.changed }

// Links returns all links of the machine as last seen; empty before Run has
// read them. The result must not be changed.
func (s *Speaker) Links() []Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links
}

// State tells what is done about addr; ok is false if it is not wanted.
func (s *Speaker) State(addr netip.Addr) (state State, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.wanted[addr.Unmap()]
	if !ok {
		return State{}, false
	}
	state = State{Address: w.Address, Fallback: w.fallback, Err: w.err}
	for _, e := range w.entries {
		state.Interfaces = append(state.Interfaces, e.port.link.Name)
		if n := e.announced.Load(); n != 0 && (state.Since.IsZero() || n < state.Since.UnixNano()) {
			state.Since = time.Unix(0, n)
		}
	}
	return state, true
}

// Stats returns the totals so far.
func (s *Speaker) Stats() Stats {
	return Stats{
		ARP:              s.arp.read(),
		NDP:              s.ndp.read(),
		Unannounced:      s.announcer.waiting(),
		ConflictsDropped: s.dropped.Load(),
	}
}

func (s *Speaker) report(c Conflict) {
	select {
	case s.conflicts <- c:
	default:
		s.dropped.Add(1)
	}
}

// logger is Run's, or the program's before.
func (s *Speaker) logger() klog.Logger {
	if s.ctx == nil {
		return klog.Background()
	}
	return klog.FromContext(s.ctx)
}

func (s *Speaker) add(announcements []Announcement) error {
	var errs []error
	var fresh []*entry
	for _, a := range announcements {
		a.Address = a.Address.Unmap()
		if err := check(a); err != nil {
			errs = append(errs, err)
			continue
		}
		w := s.wanted[a.Address]
		if w != nil && w.err == nil && slices.Equal(w.Interfaces, a.Interfaces) {
			continue
		}
		if w == nil {
			w = &placement{}
			s.wanted[a.Address] = w
		}
		w.Announcement = Announcement{Address: a.Address, Interfaces: slices.Clone(a.Interfaces)}
		fresh = append(fresh, s.place(w)...)
		errs = append(errs, w.err)
	}
	s.announcer.add(fresh)
	return errors.Join(errs...)
}

func check(a Announcement) error {
	if !a.Address.IsValid() || a.Address.IsUnspecified() || a.Address.IsMulticast() || a.Address.IsLoopback() || a.Address.Zone() != "" {
		return fmt.Errorf("address %q cannot be announced: want a unicast address without a zone", a.Address)
	}
	if err := checkGlobs(a.Interfaces); err != nil {
		return fmt.Errorf("address %s: %w", a.Address, err)
	}
	return nil
}
