// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// hostTimeout bounds the question whether a host answers: a live one on the segment does within a millisecond.
	hostTimeout = 300 * time.Millisecond
	// hostInterval is how often a host that does not answer is asked again.
	hostInterval = 2 * time.Second
)

// hostWatch tells members whose agent has failed from hosts that are gone: a host that lives refuses the connection to
// the port its agent had, or its kernel takes it, and either is an answer. All methods are safe for concurrent use.
type hostWatch struct {
	// dial connects to an address, by TCP outside of tests.
	dial    func(ctx context.Context, addr netip.AddrPort) error
	changed func() // called after a change of unreachable

	mu     sync.Mutex
	gone   map[string]bool
	cancel map[string]context.CancelFunc // of the goroutines that ask, by member
	asking sync.WaitGroup
}

func newHostWatch(changed func()) *hostWatch {
	return &hostWatch{dial: connect, changed: changed, gone: map[string]bool{}, cancel: map[string]context.CancelFunc{}}
}

// failed has the host of a member asked until the member is back or kept no more, or ctx is done.
func (h *hostWatch) failed(ctx context.Context, member string, addr netip.AddrPort) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, asked := h.cancel[member]; asked {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	h.cancel[member] = cancel
	h.asking.Go(func() { h.ask(ctx, member, addr) })
}

// back ends the question: the member is back, or has left in good order.
func (h *hostWatch) back(member string) {
	h.mu.Lock()
	if cancel, asked := h.cancel[member]; asked {
		cancel()
		delete(h.cancel, member)
	}
	h.mu.Unlock()
	h.set(member, false)
}

// keep ends the questions for all other members: those that belong to the cluster no more are not asked after for ever.
func (h *hostWatch) keep(belongs func(member string) bool) {
	h.mu.Lock()
	asked := slices.Collect(maps.Keys(h.cancel))
	h.mu.Unlock()
	for _, member := range asked {
		if !belongs(member) {
			h.back(member)
		}
	}
}

// unreachable returns the members whose host does not answer, sorted.
func (h *hostWatch) unreachable() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.gone))
}

// wait returns when no goroutine asks any more; their contexts must be done.
func (h *hostWatch) wait() { h.asking.Wait() }

func (h *hostWatch) ask(ctx context.Context, member string, addr netip.AddrPort) {
	ticker := time.NewTicker(hostInterval)
	defer ticker.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, hostTimeout)
		err := h.dial(attempt, addr)
		cancel()
		if ctx.Err() != nil {
			return
		}
		h.set(member, err != nil && !errors.Is(err, syscall.ECONNREFUSED))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (h *hostWatch) set(member string, gone bool) {
	h.mu.Lock()
	_, asked := h.cancel[member]
	differs := h.gone[member] != gone && (asked || !gone) // an answer may come after the member
	if differs && gone {
		h.gone[member] = true
	} else if differs {
		delete(h.gone, member)
	}
	h.mu.Unlock()
	if differs {
		h.changed()
	}
}

func connect(ctx context.Context, addr netip.AddrPort) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return err
	}
	return conn.Close()
}
