// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/wake"
)

const (
	// relayInterval is how often the nodes that packets are handed on to are asked whether they live.
	relayInterval = 5 * time.Second
	// relayDoubt is when a node that does not answer is asked again.
	relayDoubt = 200 * time.Millisecond
	// relayFailures in a row make a node count as dead.
	relayFailures = 2
)

// relayWatch ends the handing on of packets to nodes that are dead: a client had better be refused at once than left to
// wait for an answer that nobody can give.
type relayWatch struct {
	relay relayer
	// dial connects to an address; a refusal is as good an answer as any.
	dial func(ctx context.Context, addr netip.AddrPort) error
	// port that is asked for; nobody needs to listen there.
	port  uint16
	count func(addresses int) // called with the number of addresses whose packets are handed on
	wake  wake.Signal
}

func newRelayWatch(r relayer, port uint16, count func(int)) *relayWatch {
	return &relayWatch{relay: r, dial: connect, port: port, count: count, wake: wake.New()}
}

// hurry has the nodes asked now; it may be called from any goroutine.
func (w *relayWatch) hurry() { w.wake.Poke() }

// run asks until ctx is done.
func (w *relayWatch) run(ctx context.Context) {
	failures := map[netip.Addr]int{}
	w.wake.Loop(ctx, func(ctx context.Context) time.Duration {
		if w.round(ctx, failures) {
			return relayDoubt
		}
		return relayInterval
	})
}

// round asks each node once; doubt says that one has not answered and is to be asked again soon.
func (w *relayWatch) round(ctx context.Context, failures map[netip.Addr]int) (doubt bool) {
	byNode := map[netip.Addr][]netip.Addr{}
	for addr, node := range w.relay.Former() {
		byNode[node] = append(byNode[node], addr)
	}
	for node, alive := range w.ask(ctx, byNode) {
		if alive || ctx.Err() != nil {
			delete(failures, node)
			continue
		}
		if failures[node]++; failures[node] < relayFailures {
			doubt = true
			continue
		}
		delete(failures, node)
		klog.FromContext(ctx).Info("Connections are kept no more: the node they go through does not answer", "via", node, "addresses", len(byNode[node]))
		if err := w.relay.ForgetVia(node, byNode[node]...); err != nil {
			klog.FromContext(ctx).Error(err, "Packets go on to a node that does not answer", "via", node)
		}
	}
	w.count(len(w.relay.Former()))
	return doubt
}

// ask asks all nodes at once.
func (w *relayWatch) ask(ctx context.Context, nodes map[netip.Addr][]netip.Addr) map[netip.Addr]bool {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	alive := map[netip.Addr]bool{}
	for node := range nodes {
		asking.Go(func() {
			err := w.dial(ctx, netip.AddrPortFrom(node, w.port))
			mu.Lock()
			defer mu.Unlock()
			alive[node] = err == nil || errors.Is(err, syscall.ECONNREFUSED)
		})
	}
	asking.Wait()
	return alive
}
