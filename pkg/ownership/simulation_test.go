// SPDX-License-Identifier: Apache-2.0

package ownership

import (
	"flag"
	"testing"
	"time"
)

var (
	schedules = flag.Int("schedules", 0, "random schedules to simulate (default 10000, with -short 2000)")
	seed      = flag.Uint64("seed", 0, "replay this one schedule, with everything that happens in it")
)

// TestSimulation drives real machines through random schedules of crash, pause,
// restart, partition, loss, delay, doubling and change, and checks at every step:
//
//	I1 of nodes that see each other only one announces an address,
//	I2 a minority announces nothing,
//	I3 a majority that can announce an address does,
//	I4 nobody takes an address from a live owner,
//	I5 all of it for each address by itself,
//
// and that handovers make before they break, and end.
func TestSimulation(t *testing.T) {
	if *seed != 0 {
		if v := schedule(*seed, t.Logf); v != "" {
			t.Error(v)
		}
		return
	}
	count := *schedules
	if count == 0 {
		count = 10000
		if testing.Short() {
			count = 2000
		}
	}
	for s := uint64(1); s <= uint64(count); s++ {
		if v := schedule(s, nil); v != "" {
			t.Fatalf("schedule %d: %s\nreplay: go test ./pkg/ownership -run TestSimulation -v -args -seed=%d", s, v, s)
		}
	}
}

// schedule runs one schedule and returns the first violation, if any.
func schedule(seed uint64, logf func(string, ...any)) string {
	w := newWorld(seed)
	if logf != nil {
		w.trace = func(format string, args ...any) {
			logf("%8.3f "+format, append([]any{w.now.Seconds()}, args...)...)
		}
		w.trace("%d nodes, loss %.2f, quorum %d, addresses %v", len(w.nodes), w.loss, w.quorum, w.config)
	}
	all := faults()
	// Some schedules leave time to come to rest between faults, most do not.
	gap := []time.Duration{200 * time.Millisecond, time.Second, 3 * time.Second, 40 * time.Second}[w.rng.IntN(4)]
	count := 20
	if gap > 10*time.Second {
		count = 3
	}
	w.run(w.between(0, 20*time.Second))
	for range count {
		if w.violation != "" {
			return w.violation
		}
		w.breakSomething(all)
		w.run(w.now + w.between(0, gap))
	}
	w.repair()
	w.run(w.now + settleBound + 3*time.Second)
	return w.violation
}
