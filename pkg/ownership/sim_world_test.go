// SPDX-License-Identifier: Apache-2.0

package ownership

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Times of the simulated surroundings.
const (
	minDetect = 200 * time.Millisecond // from loss of contact to MembersChanged
	maxDetect = 500 * time.Millisecond
	maxAppear = 300 * time.Millisecond // from contact to MembersChanged
	maxDelay  = 50 * time.Millisecond  // of a message
	maxDouble = 500 * time.Millisecond // of a second copy of it
	apiDelay  = 400 * time.Millisecond // of a change of configuration
	maxLook   = 2 * time.Second        // until a node that is a candidate again is judged
	refresh   = time.Second
	// simPatience is that of some nodes with some addresses.
	simPatience = 3 * time.Second
	maxLosses   = 2    // of consecutive messages from one node to another
	wallEpoch   = 1e18 // what clocks say at the start, in nanoseconds
)

// world is a cluster in virtual time: real machines, and a network, a failure
// detector and an API server that misbehave as the seed has it.
type world struct {
	rng    *rand.Rand
	now    time.Duration
	queue  happenings
	order  uint64
	nodes  []*simNode
	names  []string
	quorum Quorum
	loss   float64

	blocked [][]bool // from, to
	lost    [][]int  // consecutive losses from, to
	links   [][]contact
	views   [][]contact // what the failure detector of the first says of the second
	viewGen [][]int
	pending [][]bool // a change of view is on its way

	addrs  []netip.Addr
	config []simConfig

	lastFault  time.Duration
	fault      string
	quietFault bool          // the last fault came after a long rest
	upset      time.Duration // when last a fault may have cost an address its announcer
	asked      map[string]time.Duration
	claims     map[simClaim]bool // ever made
	announced  []bool            // by address: answered for by anybody, ever

	trace     func(format string, args ...any)
	violation string
	moment    int // happenings since time last went on
}

// contact is a state of two nodes and the time since when.
type contact struct {
	up    bool
	since time.Duration
	run   uint64 // in a view: the incarnation of the other
}

type simClaim struct {
	address netip.Addr
	term    uint64
	node    string
}

type simConfig struct {
	present    bool
	candidates []string
	epoch      int64
	term       uint64 // as the last owner that reached the API server has recorded it
}

type simNode struct {
	w           *world
	id          int
	name        string
	machine     *Machine
	incarnation uint64
	running     bool
	paused      bool
	resumedAt   time.Duration
	offset      time.Duration
	rate        float64
	setBack     time.Duration // by which its wall clock, which numbers its runs, was
	inbox       []Message
	wakeGen     int

	apiUp      bool
	known      []simConfig // by address
	gates      []Gate
	gateKnown  []bool
	draining   bool
	gateway    bool
	gatewayAt  time.Duration
	announcing []time.Duration // by address: since when; -1 if not
	term       []uint64        // of its last claim, by address
}

func newWorld(seed uint64) *world {
	rng := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	w := &world{
		rng: rng, trace: func(string, ...any) {},
		asked: map[string]time.Duration{}, claims: map[simClaim]bool{}, upset: -time.Hour,
	}
	n := []int{1, 2, 2, 3, 3, 3, 3, 4, 5, 5}[rng.IntN(10)]
	if rng.IntN(8) == 0 {
		w.quorum = QuorumNone
	}
	if rng.IntN(2) == 0 {
		w.loss = 0.05 + 0.25*rng.Float64()
	}
	for i := range n {
		w.names = append(w.names, fmt.Sprintf("n%d", i))
	}
	for i := range 1 + rng.IntN(3) {
		w.addrs = append(w.addrs, netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}))
		w.announced = append(w.announced, false)
		w.config = append(w.config, simConfig{present: true, candidates: w.randomCandidates(), epoch: 1})
	}
	for i := range n {
		w.addNode(i, n)
	}
	for i := range n {
		w.start(w.nodes[i])
	}
	return w
}

func (w *world) addNode(i, n int) {
	w.blocked = append(w.blocked, make([]bool, n))
	w.lost = append(w.lost, make([]int, n))
	w.links = append(w.links, make([]contact, n))
	w.views = append(w.views, make([]contact, n))
	w.viewGen = append(w.viewGen, make([]int, n))
	w.pending = append(w.pending, make([]bool, n))
	w.nodes = append(w.nodes, &simNode{
		w: w, id: i, name: w.names[i], apiUp: true, gateway: true,
		offset: time.Duration(w.rng.Int64N(int64(48 * time.Hour))), rate: 0.999 + 0.002*w.rng.Float64(),
		known: make([]simConfig, len(w.addrs)), gates: make([]Gate, len(w.addrs)),
		gateKnown: make([]bool, len(w.addrs)), announcing: make([]time.Duration, len(w.addrs)),
		term: make([]uint64, len(w.addrs)),
	})
}

func (w *world) randomCandidates() []string {
	out := slices.Clone(w.names)
	w.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:1+w.rng.IntN(len(out))]
}

func (w *world) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.rng.Int64N(int64(hi-lo)+1))
}

// happening is something that is going to take place.
type happening struct {
	at    time.Duration
	order uint64
	do    func()
}

func (w *world) after(d time.Duration, do func()) {
	w.order++
	heap.Push(&w.queue, happening{w.now + d, w.order, do})
}

// run lets time pass until end, checking the invariants around every happening.
func (w *world) run(end time.Duration) {
	for w.violation == "" && len(w.queue) > 0 && w.queue[0].at <= end {
		h := heap.Pop(&w.queue).(happening)
		if w.moment++; h.at > w.now+10*time.Microsecond {
			w.moment = 0
		}
		if w.moment > 10000 {
			w.fail("livelock: too much happens at the same time")
		}
		w.now = h.at
		w.check()
		h.do()
		w.observe()
	}
	w.now = end
}

func (w *world) fail(format string, args ...any) {
	if w.violation == "" {
		w.violation = fmt.Sprintf("at %v: ", w.now) + fmt.Sprintf(format, args...)
		w.trace("VIOLATION %s", w.violation)
	}
}

// start brings a node up, as after a restart of its announcer.
func (w *world) start(n *simNode) {
	n.incarnation = wallEpoch + uint64(w.now-n.setBack)
	n.running, n.paused, n.draining = true, false, false
	n.inbox = nil
	n.resumedAt = w.now
	n.machine = New(Options{
		Self: n.name, Incarnation: n.incarnation, Quorum: w.quorum, RefreshInterval: refresh,
	})
	for i := range w.addrs {
		n.known[i], n.gateKnown[i], n.announcing[i] = simConfig{}, false, -1
	}
	for i := range w.views[n.id] {
		w.views[n.id][i] = contact{since: w.now}
		w.viewGen[n.id][i]++
		w.pending[n.id][i] = false
	}
	run := n.incarnation
	n.step(MembersChanged{Alive: []string{n.name}, Voters: w.names})
	n.step(Gateway{n.gateway})
	for i := range w.addrs {
		w.publish(n, i)
		w.after(w.between(0, 500*time.Millisecond), func() {
			if n.incarnation == run {
				n.setGate(i, n.gates[i])
			}
		})
	}
	w.after(w.between(50*time.Millisecond, 1500*time.Millisecond), func() {
		if n.incarnation == run {
			n.step(Settled{})
		}
	})
	w.relink()
}

func (n *simNode) awake() bool { return n.running && !n.paused }

// local is the clock of the node, which is wrong in its own way.
func (n *simNode) local() time.Time {
	return time.Unix(0, 0).Add(n.offset + time.Duration(float64(n.w.now)*n.rate))
}

// step feeds the machine; a node that is paused has lost the event (the shell
// tells it anew on resuming).
func (n *simNode) step(ev Event) {
	if !n.awake() {
		return
	}
	n.w.perform(n, n.machine.Step(ev, n.local()))
	n.wake()
}

// wake arranges for the tick that the machine wants next.
func (n *simNode) wake() {
	at, ok := n.machine.NextDeadline()
	if !ok {
		return
	}
	n.wakeGen++
	gen := n.wakeGen
	in := time.Duration(float64(at.Sub(n.local()))/n.rate) + time.Microsecond
	n.w.after(max(in, 0), func() {
		if n.wakeGen == gen {
			n.step(Tick{})
		}
	})
}

func (w *world) perform(n *simNode, actions []Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case Announce:
			w.trace("%s announces %s term %d (%s)", n.name, a.Address, a.Term, a.Cause)
			w.onAnnounce(n, a)
		case Withdraw:
			w.trace("%s withdraws %s term %d (%s)", n.name, a.Address, a.Term, a.Cause)
			w.onWithdraw(n, a)
		case Gossip:
			for _, to := range w.nodes {
				w.transmit(n, to, a.Message)
			}
		case Send:
			w.transmit(n, w.nodes[slices.Index(w.names, a.To)], a.Message)
		}
	}
}

func (w *world) transmit(from, to *simNode, msg Message) {
	for _, e := range msg.Entries {
		if e.Successor != "" {
			w.asked[e.Address.String()+e.Successor] = w.now
			w.trace("%s asks %s to take %s", from.name, e.Successor, e.Address)
		}
	}
	if from == to || w.blocked[from.id][to.id] {
		return
	}
	if w.loss > 0 && w.rng.Float64() < w.loss && w.lost[from.id][to.id] < maxLosses {
		w.lost[from.id][to.id]++
		return
	}
	w.lost[from.id][to.id] = 0
	w.carry(from, to, msg, maxDelay)
	if w.rng.IntN(20) == 0 {
		w.carry(from, to, msg, maxDouble)
	}
}

// carry brings a message to a node that may be paused or gone by then.
func (w *world) carry(from, to *simNode, msg Message, atMost time.Duration) {
	run := to.incarnation
	w.after(w.between(0, atMost), func() {
		switch {
		case !to.running || to.incarnation != run || w.blocked[from.id][to.id]:
		case to.paused:
			to.inbox = append(to.inbox, msg)
		default:
			to.step(Heard{msg})
		}
	})
}

// relink finds out which nodes are in contact now, and lets the detectors of
// both sides notice in their own time.
func (w *world) relink() {
	for a, na := range w.nodes {
		for b, nb := range w.nodes {
			up := na.awake() && nb.awake() && !w.blocked[a][b] && !w.blocked[b][a]
			if a == b {
				continue
			}
			changed := w.links[a][b].up != up
			if changed {
				w.links[a][b] = contact{up: up, since: w.now}
			}
			if changed || w.views[a][b].up != up && !w.pending[a][b] && na.awake() {
				w.notice(na, nb, up)
			}
		}
	}
}

func (w *world) notice(viewer, target *simNode, up bool) {
	a, b := viewer.id, target.id
	w.viewGen[a][b]++
	gen, run := w.viewGen[a][b], viewer.incarnation
	in := w.between(minDetect, maxDetect)
	if up {
		in = w.between(0, maxAppear)
	}
	w.pending[a][b] = true
	w.after(in, func() {
		if w.viewGen[a][b] != gen {
			return
		}
		w.pending[a][b] = false
		was := w.views[a][b]
		if viewer.incarnation != run || !viewer.awake() || was.up == up && (!up || was.run == target.incarnation) {
			return
		}
		if was.up && up {
			viewer.step(Lost{target.name})
		}
		w.trace("%s sees %s: %v", viewer.name, target.name, up)
		w.views[a][b] = contact{up, w.now, target.incarnation}
		viewer.step(MembersChanged{Alive: w.seen(viewer), Voters: w.names})
	})
}

func (w *world) seen(n *simNode) []string {
	out := []string{n.name}
	for b, v := range w.views[n.id] {
		if v.up {
			out = append(out, w.names[b])
		}
	}
	return out
}

// publish tells a node about an address, as the API server has it by then.
func (w *world) publish(n *simNode, i int) {
	run := n.incarnation
	w.after(w.between(0, apiDelay), func() {
		c := w.config[i]
		if n.incarnation != run || !n.apiUp || !n.awake() || n.known[i].present == c.present && n.known[i].epoch == c.epoch {
			return
		}
		w.trace("%s learns %s %v %s", n.name, w.addrs[i], c.present, strings.Join(c.candidates, ","))
		was := n.candidate(i)
		n.known[i] = c
		if c.present {
			stays := was && n.candidate(i)
			unjudged := !stays && w.rng.IntN(2) == 0 && n.unjudge(i)
			n.step(Configured{[]Address{{w.addrs[i], c.candidates, c.epoch, c.term}}})
			if !unjudged {
				n.setGate(i, n.gates[i])
			}
		} else {
			n.gateKnown[i] = false
			n.step(Removed{[]netip.Addr{w.addrs[i]}})
		}
	})
}

// candidate reports whether the node knows itself for a candidate.
func (n *simNode) candidate(i int) bool {
	return n.known[i].present && slices.Contains(n.known[i].candidates, n.name)
}

// unjudge takes back what the node has told of its gate until it has looked again, as the agent does where what it said was
// said as an earlier candidate. One that holds the address goes on by what it last knew, and nothing is taken back.
func (n *simNode) unjudge(i int) bool {
	if n.announcing[i] >= 0 {
		return false
	}
	n.w.trace("%s has to look at %s again", n.name, n.w.addrs[i])
	n.gateKnown[i] = false
	n.step(Unjudged{[]netip.Addr{n.w.addrs[i]}})
	run := n.incarnation
	n.w.after(n.w.between(0, maxLook), func() {
		if n.incarnation == run {
			n.setGate(i, n.gates[i])
		}
	})
	return true
}

func (n *simNode) setGate(i int, g Gate) {
	n.gates[i] = g
	if !n.awake() || !n.known[i].present {
		return
	}
	n.gateKnown[i] = true
	if told, known := n.machine.Gate(n.w.addrs[i]); !known || told != g { // as the agent does
		e := Eligible{Addresses: []netip.Addr{n.w.addrs[i]}, Gate: g}
		if (n.id+i)%2 == 0 {
			e.Patience = simPatience
		}
		n.step(e)
	}
}

type happenings []happening

func (h happenings) Len() int { return len(h) }
func (h happenings) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h happenings) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *happenings) Push(x any)   { *h = append(*h, x.(happening)) }
func (h *happenings) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
