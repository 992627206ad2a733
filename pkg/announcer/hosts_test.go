// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestHostWatch(t *testing.T) {
	addr := netip.MustParseAddrPort("192.0.2.1:7946")
	for _, test := range []struct {
		name string
		err  error
		want []string
	}{
		{"a host that takes the connection lives", nil, nil},
		{"a host that refuses the connection lives", syscall.ECONNREFUSED, nil},
		{"a host that does not answer is gone", context.DeadlineExceeded, []string{"n1"}},
		{"a host without a neighbour entry is gone", syscall.EHOSTUNREACH, []string{"n1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				watch := newHostWatch(func() {})
				watch.dial = func(context.Context, netip.AddrPort) error { return test.err }
				watch.failed(ctx, "n1", addr)
				synctest.Wait()
				if got := watch.unreachable(); !slices.Equal(got, test.want) {
					t.Errorf("unreachable: %v, want %v", got, test.want)
				}
				cancel()
				watch.wait()
			})
		})
	}
}

func TestHostWatchFollowsTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var dead atomic.Bool
		dead.Store(true)
		changes := 0
		watch := newHostWatch(func() { changes++ })
		watch.dial = func(context.Context, netip.AddrPort) error {
			if dead.Load() {
				return context.DeadlineExceeded
			}
			return nil
		}
		expect := func(when string, want ...string) {
			t.Helper()
			if got := watch.unreachable(); !slices.Equal(got, want) {
				t.Errorf("%s: unreachable %v, want %v", when, got, want)
			}
		}
		watch.failed(ctx, "n1", netip.AddrPort{})
		synctest.Wait()
		expect("host dead", "n1")
		dead.Store(false)
		time.Sleep(hostInterval)
		synctest.Wait()
		expect("host back without its agent")
		dead.Store(true)
		time.Sleep(hostInterval)
		synctest.Wait()
		expect("host dead again", "n1")
		watch.back("n1")
		synctest.Wait()
		expect("member back")
		if changes != 4 {
			t.Errorf("told of %d changes, want 4", changes)
		}
		cancel()
		watch.wait()
	})
}

func TestHostWatchKeepsMembersOfTheCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		asked := map[netip.AddrPort]int{}
		var mu sync.Mutex
		watch := newHostWatch(func() {})
		watch.dial = func(_ context.Context, addr netip.AddrPort) error {
			mu.Lock()
			defer mu.Unlock()
			asked[addr]++
			return context.DeadlineExceeded
		}
		n1, n2 := netip.MustParseAddrPort("192.0.2.1:7946"), netip.MustParseAddrPort("192.0.2.2:7946")
		watch.failed(ctx, "n1", n1)
		watch.failed(ctx, "n2", n2)
		synctest.Wait()
		watch.keep(func(member string) bool { return member == "n1" })
		time.Sleep(10 * hostInterval)
		synctest.Wait()
		if got := watch.unreachable(); !slices.Equal(got, []string{"n1"}) {
			t.Errorf("unreachable: %v, want n1", got)
		}
		cancel()
		watch.wait()
		if asked[n1] != 11 || asked[n2] != 1 {
			t.Errorf("asked %v, want n1 11 times and n2 once, before it was forgotten", asked)
		}
	})
}
