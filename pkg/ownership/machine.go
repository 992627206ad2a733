// SPDX-License-Identifier: Apache-2.0

package ownership

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Quorum says which part of the cluster may announce.
type Quorum uint8

const (
	// QuorumMajority says that a node must see more than half of the voters; of
	// two voters, one that is alone must reach the gateway.
	QuorumMajority Quorum = iota
	// QuorumNone says that every node may announce. After a partition both sides do.
	QuorumNone
)

// Options of a [Machine]. Zero durations and sizes mean the defaults named.
type Options struct {
	// Self is the name of this node.
	Self string
	// Incarnation tells runs of this node apart. It must be above 0 and above
	// that of earlier runs; the time of start in nanoseconds will do. Should
	// it be lower, where a clock was set back, others accept it once they have
	// seen the node gone, by MembersChanged or [Lost].
	Incarnation uint64
	Quorum      Quorum
	// RefreshInterval between two messages at least (1 s).
	RefreshInterval time.Duration
	// SettleTimeout after which Settled is taken for granted (5 s).
	SettleTimeout time.Duration
	// SyncTimeout is how long a member that has just appeared may keep this node
	// from claiming, until it has said what it holds (1 s).
	SyncTimeout time.Duration
	// Stagger is how much longer each later candidate waits before it claims an
	// address whose owner is gone (300 ms). It should exceed the time in which
	// gossip reaches everybody.
	Stagger time.Duration
	// InitialStagger takes the place of Stagger for an address that nobody has
	// announced yet (2 s): kube-proxy may be slower on the first candidate.
	InitialStagger time.Duration
	// HandoverTimeout after which the next possible successor is asked (1 s).
	HandoverTimeout time.Duration
	// MaxEntries in one Gossip (40), as many as the caller's datagram holds; a
	// Send may have more.
	MaxEntries int
}

// Machine decides about all addresses of one node. It is not safe for concurrent
// use. The cost of a step grows with the number of addresses that the event
// names; only changes of membership, drain and quorum look at all of them.
type Machine struct {
	opt     Options
	now     time.Time
	started bool

	voters   map[string]bool
	peers    map[string]*peer
	stale    map[string]*peer // alive, and known less of than there is to know
	quorate  bool
	gateway  bool
	settled  bool
	settleAt time.Time
	draining bool
	left     bool

	records map[netip.Addr]*record
	waiting map[netip.Addr]*record // without an owner, and this node may claim
	held    int

	seq       uint64
	digest    uint64 // of all own entries
	refreshAt time.Time
	timers    timers

	// Of the present step:
	touched   map[netip.Addr]*record // to be decided about
	touchAll  bool
	outbox    map[netip.Addr]*record // own entries to be gossiped
	later     map[netip.Addr]*record // the same, but that need cause no message
	hail      bool                   // gossip even without entries
	syncUntil time.Time              // until when unheard members block claims
	// gatherUntil is until when, after the majority was reached, members that are
	// not in sight count as unheard.
	gatherUntil time.Time
	actions     []Action
}

// record is what a machine knows about one address.
type record struct {
	address    netip.Addr
	configured bool
	candidates []string
	epoch      int64
	gate       Gate
	gateKnown  bool
	patience   time.Duration // see Eligible
	route      Route

	own       Entry
	mentions  int     // peers that state anything about it
	claimants []*peer // those whose entry holds, alive or not
	routers   []*peer // those that take part in routing it, alive or not
	maxTerm   uint64  // highest ever heard or used
	announced bool    // by anybody under any of those terms
	recorded  uint64  // highest term of earlier machines, see Address.Term

	ownerless time.Time // since when; zero if owned or not to be claimed
	wakeAt    time.Time // the one deadline that counts
	attempt   int       // of handing over
	askUntil  time.Time
	bettered  time.Time // since when there is a better one, for a patient owner
	spoken    time.Time // when this node last began to announce it in place of one that is gone
	outlived  uint64    // highest term of another's claim that ended while this node held it

	owner     string // as last reported
	ownerTerm uint64
	routes    RoutesChanged // as last reported
}

// New returns a machine that knows no address and no other node.
func New(opt Options) *Machine {
	setDefault(&opt.RefreshInterval, time.Second)
	setDefault(&opt.SettleTimeout, 5*time.Second)
	setDefault(&opt.SyncTimeout, time.Second)
	setDefault(&opt.Stagger, 300*time.Millisecond)
	setDefault(&opt.InitialStagger, 2*time.Second)
	setDefault(&opt.HandoverTimeout, time.Second)
	setDefault(&opt.MaxEntries, 40)
	return &Machine{
		opt:     opt,
		quorate: opt.Quorum == QuorumNone,
		voters:  map[string]bool{},
		peers:   map[string]*peer{},
		stale:   map[string]*peer{},
		records: map[netip.Addr]*record{},
		waiting: map[netip.Addr]*record{},
		touched: map[netip.Addr]*record{},
		outbox:  map[netip.Addr]*record{},
		later:   map[netip.Addr]*record{},
	}
}

func setDefault[T time.Duration | int](v *T, to T) {
	if *v <= 0 {
		*v = to
	}
}

// Step takes in one event at the local time now, which must not go backwards
// (use monotonic time), and returns what is to be done, in order.
func (m *Machine) Step(event Event, now time.Time) []Action {
	m.now, m.actions = now, nil
	if !m.started {
		m.started = true
		m.settleAt = now.Add(m.opt.SettleTimeout)
		m.refreshAt = now.Add(m.opt.RefreshInterval)
	}
	event.apply(m)
	m.chase()
	if !m.settled && !now.Before(m.settleAt) {
		m.settle()
	}
	for _, r := range m.timers.due(now) {
		m.touched[r.address] = r
	}
	m.decide()
	m.flush()
	return m.actions
}

// NextDeadline returns the time by which a [Tick] is wanted; false before the
// first event.
func (m *Machine) NextDeadline() (time.Time, bool) {
	if !m.started {
		return time.Time{}, false
	}
	next := m.refreshAt
	if !m.settled && m.settleAt.Before(next) {
		next = m.settleAt
	}
	for _, p := range m.stale {
		if p.pullAt.Before(next) {
			next = p.pullAt
		}
	}
	if t, ok := m.timers.next(); ok && t.Before(next) {
		next = t
	}
	return next, true
}

// Held returns how many addresses this node announces.
func (m *Machine) Held() int { return m.held }

// Holds reports whether this node announces the address.
func (m *Machine) Holds(a netip.Addr) bool {
	r := m.records[a]
	return r != nil && r.own.holds()
}

// Quorate reports whether this node is on the side that may announce.
func (m *Machine) Quorate() bool { return m.quorate }

// Owner returns the live node that holds the address as far as this node knows,
// and the term of its claim; "" and 0 if there is none.
func (m *Machine) Owner(a netip.Addr) (node string, term uint64) {
	r := m.records[a]
	if r == nil {
		return "", 0
	}
	return r.owner, r.ownerTerm
}

// Gate returns what this node was last said to be able to do with the address;
// known is false where nothing was said, or all of it was taken back.
func (m *Machine) Gate(a netip.Addr) (gate Gate, known bool) {
	r := m.records[a]
	if r == nil {
		return GateOpen, false
	}
	return r.gate, r.gateKnown
}

// decide looks at every touched address once, in order, so that equal histories
// give equal actions.
func (m *Machine) decide() {
	if m.touchAll {
		m.touchAll = false
		maps.Copy(m.touched, m.records)
	}
	m.syncUntil = m.unsyncedUntil()
	for _, r := range sorted(m.touched) {
		m.decideOne(r)
		m.report(r)
		m.reportRoutes(r)
		m.collect(r)
	}
	clear(m.touched)
}

// record returns the record of the address, made when there is none.
func (m *Machine) record(a netip.Addr) *record {
	r := m.records[a]
	if r == nil {
		r = &record{address: a, own: Entry{Address: a}}
		m.records[a] = r
	}
	return r
}

func (m *Machine) touch(r *record) { m.touched[r.address] = r }

// collect drops the record of an address that nobody speaks of any more. While
// anybody does, its highest term must not be forgotten.
func (m *Machine) collect(r *record) {
	if !r.configured && !r.gateKnown && r.route == RouteNone && r.own.silent() && r.mentions == 0 {
		delete(m.records, r.address)
		delete(m.waiting, r.address)
	}
}

func sorted(set map[netip.Addr]*record) []*record {
	out := make([]*record, 0, len(set))
	for _, r := range set {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *record) int { return a.address.Compare(b.address) })
	return out
}
