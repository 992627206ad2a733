// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// world is what a monitor under test probes, in the virtual time of a bubble.
type world struct {
	mu      sync.Mutex
	down    map[netip.AddrPort]error
	takes   map[netip.AddrPort]time.Duration
	starts  map[netip.AddrPort][]time.Time
	now     int // under way
	most    int // at a time
	changed []string
	late    time.Duration
}

func newWorld() *world {
	return &world{
		down: map[netip.AddrPort]error{}, takes: map[netip.AddrPort]time.Duration{}, starts: map[netip.AddrPort][]time.Time{},
	}
}

func (w *world) probe(ctx context.Context, c Check) error {
	w.mu.Lock()
	w.starts[c.Target] = append(w.starts[c.Target], time.Now())
	w.now++
	w.most = max(w.most, w.now)
	takes := w.takes[c.Target]
	w.mu.Unlock()
	if takes > 0 { // a bubble's timer that is over at once sometimes crashes the race detector (Go 1.26)
		select {
		case <-time.After(takes):
		case <-ctx.Done():
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now--
	return w.down[c.Target]
}

func (w *world) set(target netip.AddrPort, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[target] = err
}

// slow makes the probes of a target take so long.
func (w *world) slow(n int, takes time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.takes[at(n)] = takes
}

// count returns how many probes of a target have begun.
func (w *world) count(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.starts[at(n)])
}

// peak returns how many probes were under way at a time, at most.
func (w *world) peak() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most
}

// monitor runs a monitor in the bubble until the test ends.
func (w *world) monitor(t *testing.T, inFlight int) *Monitor[string] {
	m := New(Config[string]{
		Probe: w.probe, InFlight: inFlight,
		Changed: func(keys []string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.changed = append(w.changed, keys...)
		},
		Observe: func(o Observation) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.late = max(w.late, o.Late)
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); m.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return m
}

func (w *world) took() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.changed
	w.changed = nil
	return out
}

func at(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 80)
}

func checkOf(n int) Check {
	return Check{Type: TCP, Target: at(n), Interval: 2 * time.Second, Timeout: 5 * time.Second, Thresholds: Thresholds{3, 3}}
}

var errDown = errors.New("down")

// TestRareProbesBeginSoon: until the first probe a node counts as healthy, however rare its probes are.
func TestRareProbesBeginSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := w.monitor(t, 0)
		rare := checkOf(1)
		rare.Interval = 5 * time.Minute
		for i := range 50 {
			m.Set(string(rune('a'+i)), rare)
		}
		time.Sleep(maxFirst + round)
		if n := w.count(1); n != 50 {
			t.Errorf("%d of 50 targets are probed after %v", n, maxFirst)
		}
	})
}

func TestMonitorFollowsATarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := w.monitor(t, 0)
		m.Set("a", checkOf(1))
		if v := m.Verdict("a"); v.State != Unknown {
			t.Errorf("before the first probe the verdict is %v", v)
		}
		time.Sleep(2 * time.Second)
		if v := m.Verdict("a"); v.State != Healthy || !slices.Equal(w.took(), []string{"a"}) {
			t.Errorf("after one interval: %+v", v)
		}
		w.set(at(1), errDown)
		time.Sleep(3500 * time.Millisecond) // less than two intervals at their shortest
		if v := m.Verdict("a"); v.State != Healthy {
			t.Errorf("after two failures at most: %+v", v)
		}
		time.Sleep(3 * time.Second)
		if v := m.Verdict("a"); v.State != Unhealthy || v.Reason != "down" || !slices.Equal(w.took(), []string{"a"}) {
			t.Errorf("after three failures: %+v", v)
		}
		w.set(at(1), nil)
		time.Sleep(7 * time.Second)
		if v := m.Verdict("a"); v.State != Healthy || v.Reason != "" || !slices.Equal(w.took(), []string{"a"}) {
			t.Errorf("after three passes: %+v", v)
		}
	})
}

func TestMonitorTakesSettingsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := w.monitor(t, 0)
		m.Set("a", checkOf(1))
		time.Sleep(2 * time.Second)
		m.Set("a", checkOf(1))
		if v := m.Verdict("a"); v.State != Healthy {
			t.Errorf("the same check again made the verdict %v", v.State)
		}
		other := checkOf(1)
		other.Path = "/healthz"
		m.Set("a", other)
		if v := m.Verdict("a"); v.State != Unknown || m.Len() != 1 {
			t.Errorf("another check has the verdict %v, of %d targets", v.State, m.Len())
		}
		time.Sleep(2 * time.Second)
		m.Remove("a")
		w.took()
		before := w.count(1)
		time.Sleep(time.Minute)
		if after := w.count(1); after != before || m.Len() != 0 || m.Verdict("a").State != Unknown {
			t.Errorf("%d probes after the target was removed", after-before)
		}
	})
}

// TestMonitorForgetsAResultTooLate: a probe that was under way when its target was removed changes nothing.
func TestMonitorForgetsAResultTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.slow(1, 4*time.Second)
		m := w.monitor(t, 0)
		m.Set("a", checkOf(1))
		time.Sleep(2500 * time.Millisecond)
		m.Remove("a")
		time.Sleep(10 * time.Second)
		if changed := w.took(); len(changed) != 0 || w.count(1) != 1 {
			t.Errorf("changed %v after %d probes", changed, w.count(1))
		}
	})
}

func TestMonitorSpreadsTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, seconds = 1000, 20
		w := newWorld()
		m := w.monitor(t, 0)
		begin := time.Now()
		for i := range n {
			m.Set(at(i).String(), checkOf(i))
		}
		time.Sleep(seconds * time.Second)
		perTenth := make([]int, 10*seconds+1)
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, starts := range w.starts {
			for i, start := range starts {
				perTenth[start.Sub(begin)/(100*time.Millisecond)]++
				if i > 0 {
					if gap := start.Sub(starts[i-1]); gap < 1890*time.Millisecond || gap > 2110*time.Millisecond {
						t.Fatalf("%v between two probes of a target", gap)
					}
				}
			}
			if len(starts) < seconds/2-2 || len(starts) > seconds/2+2 {
				t.Fatalf("%d probes of a target in %d s, every 2 s", len(starts), seconds)
			}
		}
		// 50 are the mean; a random spread leaves the worst of 200 tenths within six standard deviations.
		if most, least := slices.Max(perTenth[:10*seconds]), slices.Min(perTenth[:10*seconds]); most > 95 || least < 8 {
			t.Errorf("between %d and %d probes in a tenth of a second, want about 50", least, most)
		}
		if w.late > round {
			t.Errorf("a probe began %v after its time", w.late)
		}
	})
}

func TestMonitorBoundsWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := w.monitor(t, 10)
		for i := range 100 {
			w.slow(i, time.Second)
			m.Set(at(i).String(), checkOf(i))
		}
		time.Sleep(time.Minute)
		if w.peak() != 10 {
			t.Errorf("%d probes under way at a time, want 10", w.peak())
		}
		// 10 at a time and 1 s each: 600 in a minute, which all targets share.
		for i := range 100 {
			if n := w.count(i); n < 4 || n > 8 {
				t.Errorf("target %d was probed %d times, want about 6", i, n)
			}
		}
	})
}

// TestMonitorDoesNotOverlapProbes: a target that takes longer than its interval is probed again when it has answered.
func TestMonitorDoesNotOverlapProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.slow(1, 5*time.Second)
		m := w.monitor(t, 0)
		m.Set("a", checkOf(1))
		time.Sleep(52 * time.Second)
		if n := w.count(1); w.peak() != 1 || n != 10 && n != 11 {
			t.Errorf("%d probes in 52 s of 5 s each, %d at a time", n, w.peak())
		}
	})
}
