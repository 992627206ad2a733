// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/due"
	"github.com/fairlead-io/fairlead/pkg/wake"
)

// announcer sends the unasked announcements of all entries as their schedule
// says, no faster than its limit. Entries that are due together go out in the
// order of their due times, so that after a takeover of thousands every
// address has had its first announcement before any has its second.
type announcer struct {
	arp, ndp Schedule
	limit    *rate.Limiter
	wake     wake.Signal

	mu          sync.Mutex
	queue       due.Queue[*entry]
	unannounced int
}

func newAnnouncer(s Schedule, perSecond int) *announcer {
	return &announcer{
		arp: s,
		ndp: s.forNDP(),
		// A twentieth of a second's worth at once: on a busy machine this
		// goroutine waits that long for its turn, and would otherwise fall
		// behind its limit just when a node has died.
		limit: rate.NewLimiter(rate.Limit(perSecond), max(1, perSecond/burstsPerSecond)),
		wake:  wake.New(),
	}
}

// add starts the schedule of new entries, where they are to be silent at the
// end of that.
func (a *announcer) add(entries []*entry) {
	if len(entries) == 0 {
		return
	}
	now := time.Now()
	a.mu.Lock()
	for _, e := range entries {
		a.begin(e, now)
	}
	a.mu.Unlock()
	a.wake.Poke()
}

// restart starts the schedule anew, as after a takeover.
func (a *announcer) restart(entries []*entry) {
	now := time.Now()
	a.mu.Lock()
	for _, e := range entries {
		if a.queue.Remove(e) && e.step == 0 {
			a.unannounced--
		}
		e.silent = time.Time{}
		a.begin(e, now)
	}
	a.mu.Unlock()
	a.wake.Poke()
}

// begin queues the first step of the entry's schedule.
func (a *announcer) begin(e *entry, now time.Time) {
	e.start, e.step = now, 0
	if e.silent.After(now) {
		e.start = e.silent
	}
	if a.schedule(e, now) {
		a.unannounced++
	}
}

// postpone has nothing sent for the entries until then. What was due comes
// after, as far apart as the schedule has it. The first announcement is not
// put off: neighbours have heard nothing yet.
func (a *announcer) postpone(entries []*entry, until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range entries {
		e.silent = until
	}
}

// drop has nothing sent for the entry any more.
func (a *announcer) drop(e *entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e.gone.Store(true)
}

// schedule queues the entry's next step, if there is one.
func (a *announcer) schedule(e *entry, prev time.Time) bool {
	s := a.ndp
	if e.addr.Is4() {
		s = a.arp
	}
	_, at, ok := s.next(e.step, e.start, prev, rand.Float64())
	if ok {
		e.due = at
		a.queue.Set(e, at)
	}
	return ok
}

// form is that of the entry's current step.
func (a *announcer) form(e *entry) Form {
	f, _, _ := a.arp.next(e.step, e.start, e.due, 0)
	return f
}

// run sends until ctx is done.
func (a *announcer) run(ctx context.Context) {
	log := klog.FromContext(ctx)
	a.wake.Loop(ctx, func(context.Context) time.Duration { return a.sendDue(log) })
}

// sendDue sends what is due and the limit allows, and returns how long to
// wait until there may be more.
func (a *announcer) sendDue(log klog.Logger) time.Duration {
	for {
		if wait := a.sendNext(log, time.Now()); wait > 0 {
			return wait
		}
	}
}

// sendNext sends what is due first, or says how long to wait. The lock is held
// meanwhile, so that nothing is on its way of what was dropped or postponed.
func (a *announcer) sendNext(log klog.Logger, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, wait := a.pop(now)
	if e != nil {
		a.send(log, e, now)
	}
	return wait
}

const (
	// burstsPerSecond: the limiter saves up this part of a second's worth.
	burstsPerSecond = 20
	// leastPause keeps the limit from costing a wake-up per packet.
	leastPause = 2 * time.Millisecond
)

// idle is how long to sleep without anything queued; additions wake.
const idle = time.Hour

// pop takes the next entry that is due, or says how long to wait.
func (a *announcer) pop(now time.Time) (*entry, time.Duration) {
	for {
		e, _, ok := a.queue.First()
		if !ok {
			return nil, idle
		}
		if e.gone.Load() {
			a.queue.Remove(e)
			if e.step == 0 {
				a.unannounced--
			}
			continue
		}
		if late := e.silent.Sub(e.due); late > 0 && e.step > 0 {
			e.start, e.due = e.start.Add(late), e.silent
			a.queue.Set(e, e.due)
			continue
		}
		if wait := e.due.Sub(now); wait > 0 {
			return nil, wait
		}
		if r := a.limit.ReserveN(now, 1); r.DelayFrom(now) > 0 {
			delay := r.DelayFrom(now)
			r.CancelAt(now)
			return nil, max(delay, leastPause)
		}
		a.queue.Remove(e)
		return e, 0
	}
}

func (a *announcer) send(log klog.Logger, e *entry, now time.Time) {
	err := e.port.announce(e.addr, a.form(e))
	if err != nil {
		// The link may have just gone down; the next step tries again.
		log.V(2).Info("Announcement not sent", "address", e.addr, "err", err)
	} else {
		e.port.stats.gratuitous.Add(1)
		e.announced.CompareAndSwap(0, now.UnixNano())
	}
	if e.step == 0 {
		a.unannounced--
	}
	e.step++
	a.schedule(e, now)
}

func (a *announcer) waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.unannounced
}
