// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fairlead-io/fairlead/pkg/due"
	"github.com/fairlead-io/fairlead/pkg/wake"
)

const (
	// round is the least time between two looks at what is due.
	round = 5 * time.Millisecond
	// idle is the longest time between them.
	idle = time.Minute
	// defaultInFlight probes hold as many sockets, and 5 s each where nothing answers.
	defaultInFlight = 2048
	// maxFirst is the longest time to the first probe of a target, which decides alone.
	maxFirst = 10 * time.Second
)

// Config of a [Monitor].
type Config[K comparable] struct {
	// Changed is called, by the goroutine of Run, with the keys whose verdict has changed. It should not wait.
	Changed func(keys []K)
	// Observe, if not nil, is told of each probe, by many goroutines.
	Observe func(Observation)
	// InFlight bounds the probes under way; 0 means 2048. What is due beyond that waits.
	InFlight int
	// Probe makes one probe; nil means [Probe].
	Probe func(ctx context.Context, c Check) error
}

// Observation is what one probe was like.
type Observation struct {
	Type   Type
	Passed bool
	// Took is how long the probe was under way, Late how long after its time it began.
	Took, Late time.Duration
	// Changed: the result made another verdict, which is State.
	Changed bool
	State   State
}

// Verdict on a target.
type Verdict struct {
	State State
	// Since is when the state became what it is.
	Since time.Time
	// Reason tells why the last probe before the verdict failed; empty unless the state is Unhealthy.
	Reason string
}

// Monitor probes targets, each under a key of its user's. Its methods may be called at the same time and never wait for
// the network. Make it with [New].
type Monitor[K comparable] struct {
	cfg   Config[K]
	tasks sync.WaitGroup
	wake  wake.Signal

	mu       sync.Mutex
	targets  map[K]*target[K]
	queue    due.Queue[*target[K]]
	inFlight int
	changed  []K
}

// target is one check and its verdict. It stays out of the queue while it is being probed, and when it is dropped.
type target[K comparable] struct {
	key     K
	check   Check
	due     time.Time
	dropped bool
	tally   Tally
	verdict Verdict
}

// New returns a monitor without targets.
func New[K comparable](cfg Config[K]) *Monitor[K] {
	if cfg.InFlight <= 0 {
		cfg.InFlight = defaultInFlight
	}
	if cfg.Probe == nil {
		cfg.Probe = Probe
	}
	return &Monitor[K]{cfg: cfg, wake: wake.New(), targets: map[K]*target[K]{}}
}

// Set has a target checked from now on. One that is checked in the same way already goes on as it was; one whose check is
// another starts anew, as unknown.
func (m *Monitor[K]) Set(key K, c Check) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.targets[key]
	if old != nil && old.check.equal(c) {
		return
	}
	if old != nil {
		m.drop(old)
	}
	t := &target[K]{key: key, check: c, due: time.Now().Add(rand.N(max(min(c.Interval, maxFirst), 1)))}
	m.targets[key] = t
	m.queue.Set(t, t.due)
	m.wake.Poke()
}

// Remove ends the checks of a target.
func (m *Monitor[K]) Remove(key K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.targets[key]; t != nil {
		m.drop(t)
	}
}

func (m *Monitor[K]) drop(t *target[K]) {
	t.dropped = true
	delete(m.targets, t.key)
	m.queue.Remove(t)
}

// Verdict returns what is thought of a target; the zero value for one that is not checked.
func (m *Monitor[K]) Verdict(key K) Verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.targets[key]; t != nil {
		return t.verdict
	}
	return Verdict{}
}

// Len returns the number of targets.
func (m *Monitor[K]) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.targets)
}

// Run probes until ctx is done, and returns when no probe is under way any more.
func (m *Monitor[K]) Run(ctx context.Context) {
	defer m.tasks.Wait()
	m.wake.Loop(ctx, func(ctx context.Context) time.Duration {
		m.report()
		return m.start(ctx)
	})
}

// report hands over the keys whose verdict has changed.
func (m *Monitor[K]) report() {
	m.mu.Lock()
	changed := m.changed
	m.changed = nil
	m.mu.Unlock()
	if len(changed) > 0 && m.cfg.Changed != nil {
		m.cfg.Changed(changed)
	}
}

// start begins the probes that are due, and returns when to look again.
func (m *Monitor[K]) start(ctx context.Context) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for m.inFlight < m.cfg.InFlight {
		t, ok := m.queue.Take(now)
		if !ok {
			break
		}
		m.inFlight++
		m.tasks.Go(func() { m.probe(ctx, t) })
	}
	_, next, waiting := m.queue.First()
	if !waiting || m.inFlight >= m.cfg.InFlight {
		return idle // what is set or ends a probe wakes Run
	}
	return min(max(time.Until(next), round), idle)
}

func (m *Monitor[K]) probe(ctx context.Context, t *target[K]) {
	begin := time.Now()
	err := m.cfg.Probe(ctx, t.check)
	end := time.Now()
	o := Observation{Type: t.check.Type, Passed: err == nil, Took: end.Sub(begin), Late: begin.Sub(t.due)}
	m.mu.Lock()
	if m.inFlight == m.cfg.InFlight {
		m.wake.Poke()
	}
	m.inFlight--
	if !t.dropped && ctx.Err() == nil {
		o.Changed = m.take(t, err, end)
		o.State = t.verdict.State
		m.again(t, begin, end)
	}
	m.mu.Unlock()
	if ctx.Err() == nil && m.cfg.Observe != nil {
		m.cfg.Observe(o)
	}
}

// take adds a result to the verdict, and reports whether that is another now.
func (m *Monitor[K]) take(t *target[K], err error, now time.Time) bool {
	was := t.tally.State
	t.tally = t.tally.Add(err == nil, t.check.Thresholds)
	if t.tally.State == was {
		return false
	}
	t.verdict = Verdict{State: t.tally.State, Since: now}
	if err != nil {
		t.verdict.Reason = err.Error()
	}
	m.changed = append(m.changed, t.key)
	m.wake.Poke()
	return true
}

// again puts the target back into the queue. Intervals count from when a probe was due, so that lateness does not add up,
// but none is made up for.
func (m *Monitor[K]) again(t *target[K], begin, end time.Time) {
	base := t.due
	if begin.Sub(base) > t.check.Interval/2 {
		base = begin
	}
	t.due = base.Add(jittered(t.check.Interval))
	if t.due.Before(end) {
		t.due = end
	}
	m.queue.Set(t, t.due)
	if first, _, _ := m.queue.First(); first == t {
		m.wake.Poke()
	}
}

// jittered returns the interval, a twentieth shorter or longer at most.
func jittered(d time.Duration) time.Duration { return d - d/20 + rand.N(d/10+1) }
