// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// RouteChange is one change of a host's main routing table.
type RouteChange struct {
	Time        time.Time // when the kernel's message was read
	Destination netip.Prefix
	Gone        bool         // or a path of it: the kernel tells of paths of IPv6 one by one
	Hops        []netip.Addr // the gateways; of a route that is gone, those it had
}

// RouteWatch records the changes of a host's main routing table.
type RouteWatch struct {
	done    chan struct{}
	stopped sync.WaitGroup

	mu      sync.Mutex
	changes []RouteChange
	err     error
}

// WatchRoutes starts to record. Stop it before the lab.
func (l *Lab) WatchRoutes(host string) (*RouteWatch, error) {
	h, err := l.host(host)
	if err != nil {
		return nil, err
	}
	w := &RouteWatch{done: make(chan struct{})}
	updates := make(chan netlink.RouteUpdate, 1024)
	err = h.netlink(func(*netlink.Handle) error {
		return netlink.RouteSubscribeWithOptions(updates, w.done, netlink.RouteSubscribeOptions{
			Namespace: &h.ns, ErrorCallback: w.fail, ReceiveBufferSize: 16 << 20, ReceiveBufferForceSize: true,
		})
	})
	if err != nil {
		return nil, fmt.Errorf("watch the routes of host %q: %w", host, err)
	}
	w.stopped.Go(func() {
		for u := range updates {
			w.record(u, time.Now())
		}
	})
	return w, nil
}

func (w *RouteWatch) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.done: // the end of the socket is no fault
	default:
		w.err = err
	}
}

func (w *RouteWatch) record(u netlink.RouteUpdate, now time.Time) {
	if u.Table != unix.RT_TABLE_MAIN || u.Dst == nil {
		return
	}
	addr, ok := netip.AddrFromSlice(u.Dst.IP)
	if !ok {
		return
	}
	ones, _ := u.Dst.Mask.Size()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes = append(w.changes, RouteChange{
		Time: now, Destination: netip.PrefixFrom(addr, ones), Gone: u.Type == unix.RTM_DELROUTE, Hops: gateways(u.Route),
	})
}

// Changes returns those so far of the given destination, all for the zero Prefix, in their order.
func (w *RouteWatch) Changes(destination netip.Prefix) ([]RouteChange, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []RouteChange
	for _, c := range w.changes {
		if destination == (netip.Prefix{}) || c.Destination == destination {
			found = append(found, c)
		}
	}
	return found, w.err
}

// Stop ends the recording.
func (w *RouteWatch) Stop() {
	close(w.done)
	w.stopped.Wait()
}
