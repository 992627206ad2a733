// SPDX-License-Identifier: Apache-2.0

// Command prober runs health checks of many targets as an announcer does, in a process whose CPU time is theirs alone, and
// writes one line of JSON that tells of each probe.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead-io/fairlead/pkg/health"
)

func main() {
	var check health.Check
	first := flag.String("first", "", "address and port of the first target; the others have the addresses after it")
	targets := flag.Int("targets", 1, "number of targets")
	kind := flag.String("type", string(health.HTTP), "type of the probes")
	flag.DurationVar(&check.Interval, "interval", 2*time.Second, "between two probes of a target")
	flag.DurationVar(&check.Timeout, "timeout", time.Second, "of one probe")
	watch := flag.Duration("watch", 20*time.Second, "how long probes are told of, after three intervals that are not")
	flag.Parse()
	check.Type = health.Type(*kind)
	start, err := netip.ParseAddrPort(*first)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(watchProbes(check, start, *targets, *watch))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "prober:", err)
		os.Exit(1)
	}
}

// record is what the probes were like that ended within the time watched.
type record struct {
	mu     sync.Mutex
	began  time.Time
	Share  float64   `json:"share"`  // of one core
	Starts []float64 `json:"starts"` // milliseconds since the watch began
	Late   []float64 `json:"late"`   // milliseconds
	Took   []float64 `json:"took"`   // milliseconds
	Failed int       `json:"failed"`
}

func watchProbes(check health.Check, first netip.AddrPort, targets int, watch time.Duration) *record {
	r := &record{}
	m := health.New(health.Config[int]{Observe: r.observe})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { m.Run(ctx) })
	addr := first.Addr()
	for i := range targets {
		check.Target = netip.AddrPortFrom(addr, first.Port())
		m.Set(i, check)
		addr = addr.Next()
	}
	time.Sleep(3 * check.Interval)
	r.begin(time.Now())
	before, start := spent(), time.Now()
	time.Sleep(watch)
	share := (spent() - before).Seconds() / time.Since(start).Seconds()
	r.begin(time.Time{})
	cancel()
	running.Wait()
	r.Share = share
	return r
}

// begin has probes told of that start from now on; none, for the zero time.
func (r *record) begin(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began = now
}

func (r *record) observe(o health.Observation) {
	start := time.Now().Add(-o.Took)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.began.IsZero() || start.Before(r.began) {
		return
	}
	r.Starts = append(r.Starts, milliseconds(start.Sub(r.began)))
	r.Late = append(r.Late, milliseconds(o.Late))
	r.Took = append(r.Took, milliseconds(o.Took))
	if !o.Passed {
		r.Failed++
	}
}

// spent returns the CPU time of this process, in user and kernel mode.
func spent() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(fmt.Sprintf("getrusage of the own process: %v", err)) // it has no way to fail but a wrong pointer
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
