// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// errSubscription: the kernel's messages were lost (too many at once), so the
// inventory is to be read anew.
var errSubscription = errors.New("netlink subscription ended")

// netlinkBuffer in bytes holds a few thousand messages, the most that a node
// with hundreds of pods starting at once produces between two reads. It is
// beyond the usual net.core.rmem_max, which takes CAP_NET_ADMIN.
const netlinkBuffer = 8 << 20

// watchLinks calls changed with all links at the start and after every change
// of one, until ctx is done. It returns only on errors that a new
// subscription does not cure.
func watchLinks(ctx context.Context, changed func([]Link)) error {
	for {
		err := watchOnce(ctx, changed)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the subscription ended because the caller ended it
		}
		if !errors.Is(err, errSubscription) {
			return err
		}
		klog.FromContext(ctx).Info("Reading all links again", "reason", err.Error())
	}
}

// subscription is the three netlink groups that tell of links.
type subscription struct {
	links  chan netlink.LinkUpdate
	addrs  chan netlink.AddrUpdate
	routes chan netlink.RouteUpdate
	done   chan struct{}
	lost   atomic.Bool
}

// subscribe has as much of netlinkBuffer as this process may have.
func subscribe() (*subscription, error) {
	s, err := subscribeWith(true)
	if errors.Is(err, unix.EPERM) {
		return subscribeWith(false)
	}
	return s, err
}

// subscribeWith asks for the buffer beyond the limit if force is set.
func subscribeWith(force bool) (*subscription, error) {
	s := &subscription{
		links:  make(chan netlink.LinkUpdate, 64),
		addrs:  make(chan netlink.AddrUpdate, 64),
		routes: make(chan netlink.RouteUpdate, 64),
		done:   make(chan struct{}),
	}
	failed := func(error) { s.lost.Store(true) }
	if err := netlink.LinkSubscribeWithOptions(s.links, s.done, netlink.LinkSubscribeOptions{
		ErrorCallback: failed, ReceiveBufferSize: netlinkBuffer, ReceiveBufferForceSize: force,
	}); err != nil {
		close(s.done)
		return nil, fmt.Errorf("subscribing to links: %w", err)
	}
	if err := netlink.AddrSubscribeWithOptions(s.addrs, s.done, netlink.AddrSubscribeOptions{
		ErrorCallback: failed, ReceiveBufferSize: netlinkBuffer, ReceiveBufferForceSize: force,
	}); err != nil {
		close(s.done)
		drain(s.links)
		return nil, fmt.Errorf("subscribing to addresses: %w", err)
	}
	if err := netlink.RouteSubscribeWithOptions(s.routes, s.done, netlink.RouteSubscribeOptions{
		ErrorCallback: failed, ReceiveBufferSize: netlinkBuffer, ReceiveBufferForceSize: force,
	}); err != nil {
		close(s.done)
		drain(s.links)
		drain(s.addrs)
		return nil, fmt.Errorf("subscribing to routes: %w", err)
	}
	return s, nil
}

// close ends the subscription and waits for its readers, which may be held up
// writing to a channel that nobody reads any more.
func (s *subscription) close() {
	close(s.done)
	drain(s.links)
	drain(s.addrs)
	drain(s.routes)
}

func drain[T any](c <-chan T) {
	for range c { //nolint:revive // emptied, not used
	}
}

func watchOnce(ctx context.Context, changed func([]Link)) error {
	sub, err := subscribe()
	if err != nil {
		return err
	}
	defer sub.close()
	// Read after subscribing: what changes in between comes twice, not never.
	inv, err := readInventory(ctx)
	if err != nil {
		return err
	}
	changed(inv.snapshot())
	for {
		dirty, err := sub.receive(ctx, inv)
		if err != nil || ctx.Err() != nil {
			return err
		}
		if err := inv.refresh(ctx); err != nil {
			return err
		}
		if dirty {
			changed(inv.snapshot())
		}
	}
}

// receive waits for a message, and takes in all that are there already. It
// says whether any of them matters.
func (s *subscription) receive(ctx context.Context, inv *inventory) (bool, error) {
	dirty := false
	for first := true; first || len(s.links)+len(s.addrs)+len(s.routes) > 0; first = false {
		ok := true
		select {
		case <-ctx.Done():
			return false, nil
		case u, open := <-s.links:
			if ok = open; ok {
				dirty = true
				if inv.link(u) {
					// Not taken together with what follows, or a link that
					// goes down and up again would seem never to have moved.
					return true, nil
				}
			}
		case u, open := <-s.addrs:
			if ok = open; ok {
				inv.address(u.LinkIndex, u.LinkAddress, u.Flags, u.NewAddr)
				dirty = true
			}
		case u, open := <-s.routes:
			ok = open
			inv.stale = inv.stale || open && isDefault(u.Route)
		}
		if !ok || s.lost.Load() {
			return false, errSubscription
		}
	}
	return dirty || inv.stale, nil
}
