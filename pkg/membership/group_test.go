// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead-io/fairlead/e2e/netnstest"
)

// TestMain runs the tests in a network namespace of their own: others may use the same ports.
func TestMain(m *testing.M) {
	netnstest.Main(func() { os.Exit(m.Run()) })
}

var testKey = bytes.Repeat([]byte{7}, 32)

// node is a real member on a loopback address of its own.
type node struct {
	*Membership
	name string
	addr netip.AddrPort

	mu     sync.Mutex
	events []Event
	done   chan struct{}
	parted *sync.Map // netip.Addr, or netip.AddrPort, to which this node's packets are lost
}

// ports keeps the tests of one process off each other's sockets.
var ports atomic.Uint32

// group starts n nodes that have each other as seeds. They are closed, and leaked goroutines reported, when t ends.
func group(t testing.TB, n int, change ...func(i int, c *Config)) []*node {
	t.Helper()
	if _, bench := t.(*testing.B); !bench { // a benchmark has goroutines of its own
		t.Cleanup(func() {
			// memberlist's last probe ends with its interval, which a bad conscience stretches.
			until(t, "goroutines end", func() bool { return goleak.Find() == nil })
		})
	}
	port := uint16(20000 + 2*ports.Add(1))
	var nodes []*node
	for i := range n {
		nodes = append(nodes, start(t, fmt.Sprintf("n%d", i+1), port, i, change...))
	}
	for _, x := range nodes {
		x.SetSeeds(addrs(nodes))
	}
	return nodes
}

// calm makes a member's heartbeats so slow, and memberlist slower still, that a thread which waits for a processor is not
// taken for dead, and a death is seen by heartbeat first all the same.
func calm(_ int, c *Config) {
	c.Tuning.HeartbeatInterval, c.Tuning.SuspicionMult = 200*time.Millisecond, 30
}

func addrs(nodes []*node) (out []netip.AddrPort) {
	for _, x := range nodes {
		out = append(out, x.addr)
	}
	return out
}

func start(t testing.TB, name string, port uint16, i int, change ...func(int, *Config)) *node {
	t.Helper()
	x := &node{
		name: name, done: make(chan struct{}), parted: &sync.Map{},
		addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(i + 1)}), port),
	}
	cfg := Config{NodeName: name, BindAddr: x.addr, Keys: [][]byte{testKey}}
	cfg.drop = func(a netip.AddrPort) bool {
		_, host := x.parted.Load(a.Addr())
		_, port := x.parted.Load(a)
		return host || port
	}
	for _, f := range change {
		f(i, &cfg)
	}
	m, err := Join(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	x.Membership = m
	go x.collect()
	t.Cleanup(x.kill)
	return x
}

func (x *node) collect() {
	defer close(x.done)
	for e := range x.Events() {
		x.mu.Lock()
		x.events = append(x.events, e)
		x.mu.Unlock()
	}
}

// kill closes the sockets without a word, as the kernel does for a process that is killed.
func (x *node) kill() {
	x.Close()
	<-x.done
}

// part loses all packets between the two sides, heal lets them pass again.
func part(left, right []*node) {
	for _, a := range left {
		for _, b := range right {
			a.parted.Store(b.addr.Addr(), true)
			b.parted.Store(a.addr.Addr(), true)
		}
	}
}

func heal(nodes []*node) {
	for _, x := range nodes {
		x.parted.Clear()
	}
}

// awaitHearts waits until every node has heard every other by heartbeat, so that a death will be seen by it.
func awaitHearts(t testing.TB, nodes []*node) {
	t.Helper()
	awaitAll(t, nodes, len(nodes))
	for _, x := range nodes {
		until(t, x.name+" hears all", func() bool { return x.acquainted.Load() == int32(len(nodes)-1) })
	}
}

func (x *node) find(match func(Event) bool) (Event, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	i := slices.IndexFunc(x.events, match)
	if i < 0 {
		return Event{}, false
	}
	return x.events[i], true
}

func (x *node) forgetEvents() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.events = nil
}

func of(kind EventKind, name string) func(Event) bool {
	return func(e Event) bool { return e.Kind == kind && e.Member.Name == name }
}

// until awaits a condition.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(2*time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}

func (x *node) await(t testing.TB, kind EventKind, name string) Event {
	t.Helper()
	var e Event
	until(t, fmt.Sprintf("%s sees %s of %s", x.name, kind, name), func() (ok bool) {
		e, ok = x.find(of(kind, name))
		return ok
	})
	return e
}

// awaitAll waits until every node reaches want nodes.
func awaitAll(t testing.TB, nodes []*node, want int) {
	t.Helper()
	for _, x := range nodes {
		until(t, fmt.Sprintf("%s reaches %d nodes", x.name, want), func() bool {
			n, _ := x.Reachable()
			return n == want
		})
	}
}
