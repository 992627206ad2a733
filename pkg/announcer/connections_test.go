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
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/l2"
)

// fakeRelay keeps what it is told.
type fakeRelay struct {
	mu     sync.Mutex
	former map[netip.Addr]netip.Addr
	// keeping is called before anything is kept; nil if that is of no interest.
	keeping func()
}

func newFakeRelay() *fakeRelay { return &fakeRelay{former: map[netip.Addr]netip.Addr{}} }

func (f *fakeRelay) Keep(former map[netip.Addr]netip.Addr) error {
	if f.keeping != nil && len(former) > 0 {
		f.keeping()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.Copy(f.former, former)
	return nil
}

func (f *fakeRelay) Forget(addrs ...netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range addrs {
		delete(f.former, a)
	}
	return nil
}

func (f *fakeRelay) ForgetVia(via netip.Addr, addrs ...netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range addrs {
		if f.former[a] == via {
			delete(f.former, a)
		}
	}
	return nil
}

func (f *fakeRelay) Former() map[netip.Addr]netip.Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.former)
}

func (f *fakeRelay) SetPeers([]net.HardwareAddr) error { return nil }

// TestReachedAt: packets are handed on over the segment that they come in by, to the node's own address there.
func TestReachedAt(t *testing.T) {
	mac := l2.MAC{2, 0, 0, 0, 0, 1}
	link := func(name string, up bool, addresses ...string) l2.Link {
		l := l2.Link{Name: name, MAC: mac, Up: up}
		for _, a := range addresses {
			l.Addresses = append(l.Addresses, netip.MustParsePrefix(a))
		}
		return l
	}
	links := []l2.Link{
		link("eno1", true, "192.168.9.1/24"), link("eth0", true, "10.0.0.1/24", "fd00::1/64"), link("eth1", false, "10.1.0.1/24"),
	}
	face := func(name string, up bool, addresses ...string) v1alpha1.NodeInterface {
		return v1alpha1.NodeInterface{Name: name, MAC: mac.String(), Up: up, Addresses: addresses}
	}
	other := func(gossip string, interfaces ...v1alpha1.NodeInterface) *v1alpha1.Announcer {
		dummy := v1alpha1.NodeInterface{Name: "dummy0", Up: true, Addresses: []string{"10.0.0.9/24"}}
		return &v1alpha1.Announcer{Status: v1alpha1.AnnouncerStatus{
			GossipAddress: gossip, Interfaces: append([]v1alpha1.NodeInterface{dummy}, interfaces...),
		}}
	}
	storage, lan := face("eno1", true, "192.168.9.2/24"), face("eno2", true, "10.0.0.2/24")
	const four, six, none = "10.0.0.100", "fd00::100", "invalid IP"
	for _, tc := range []struct {
		name       string
		other      *v1alpha1.Announcer
		addr       string
		interfaces []string
		want       string
	}{
		{"on the segment", other("", face("eth0", true, "10.0.0.2/24", "fd00::2/64")), four, nil, "10.0.0.2"},
		{"on the segment, IPv6", other("", face("eth0", true, "10.0.0.2/24", "fd00::2/64")), six, nil, "fd00::2"},
		{"of the other family only", other("", face("eth0", true, "10.0.0.2/24")), six, nil, none},
		{"behind a router", other("", face("eth0", true, "10.7.0.2/24")), four, nil, none},
		{"its interface is down", other("", face("eth0", false, "10.0.0.2/24")), four, nil, none},
		{"our interface is down", other("", face("eth1", true, "10.1.0.2/24")), four, nil, none},
		{"unknown", nil, four, nil, none},
		{"has the API server's address too", other("", face("eth0", true, "10.0.0.10/32", "10.0.0.21/24")), four, nil, "10.0.0.21"},
		{"has an address that floats only", other("", face("eth0", true, "10.0.0.10/32")), four, nil, none},
		{"has no subnet, but is reached so", other("10.0.0.10:7946", face("eth0", true, "10.0.0.10/32")), four, nil, "10.0.0.10"},
		{"has several, one for gossip", other("10.0.0.21:7946", face("eth0", true, "10.0.0.10/24", "10.0.0.21/24")), four, nil, "10.0.0.21"},
		{"on two segments", other("192.168.9.2:7946", storage, lan), four, nil, "10.0.0.2"},
		{"on two segments, named", other("10.0.0.2:7946", storage, lan), "172.16.0.1", []string{"eno*"}, "192.168.9.2"},
		{"on another segment only", other("", storage), four, nil, "192.168.9.2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := reachedAt(tc.other, links, netip.MustParseAddr(tc.addr), tc.interfaces).String(); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

// TestDeadNodesAreHandedNothing: of the nodes that packets are handed on to, those that do not answer twice are dropped;
// a refused connection is an answer.
func TestDeadNodesAreHandedNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		addr := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, n}) }
		r := &fakeRelay{former: map[netip.Addr]netip.Addr{addr(100): addr(1), addr(101): addr(1), addr(102): addr(2), addr(103): addr(3)}}
		var mu sync.Mutex
		dead := []netip.Addr{addr(1)}
		once := map[netip.Addr]bool{addr(3): true}
		counted := 0
		w := newRelayWatch(r, 7946, func(n int) { mu.Lock(); counted = n; mu.Unlock() })
		w.dial = func(ctx context.Context, to netip.AddrPort) error {
			mu.Lock()
			lost := slices.Contains(dead, to.Addr()) || once[to.Addr()]
			delete(once, to.Addr())
			mu.Unlock()
			if lost {
				<-ctx.Done()
				return ctx.Err()
			}
			return syscall.ECONNREFUSED
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.run(ctx) })
		expect := func(when string, want ...netip.Addr) {
			t.Helper()
			synctest.Wait()
			got := slices.SortedFunc(maps.Keys(r.Former()), netip.Addr.Compare)
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(got, want) || counted != len(want) {
				t.Errorf("%s: packets for %v are handed on (counted %d), want %v", when, got, counted, want)
			}
		}
		time.Sleep(hostTimeout + time.Millisecond)
		expect("after one question", addr(100), addr(101), addr(102), addr(103))
		time.Sleep(relayDoubt + hostTimeout)
		expect("after two", addr(102), addr(103))
		mu.Lock()
		dead = append(dead, addr(2))
		mu.Unlock()
		w.hurry()
		time.Sleep(relayDoubt + 2*hostTimeout + time.Millisecond)
		expect("another one, asked in a hurry", addr(103))
		cancel()
		running.Wait()
	})
}

// TestMovedAddressIsKept: while a dead node is asked, an address may come to be handed on to another.
func TestMovedAddressIsKept(t *testing.T) {
	addr := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, n}) }
	r := newFakeRelay()
	r.former[addr(100)], r.former[addr(101)] = addr(1), addr(1)
	w := newRelayWatch(r, 7946, func(int) {})
	w.dial = func(context.Context, netip.AddrPort) error {
		return errors.Join(r.Keep(map[netip.Addr]netip.Addr{addr(100): addr(2)}), syscall.EHOSTUNREACH)
	}
	w.round(t.Context(), map[netip.Addr]int{addr(1): relayFailures - 1})
	if got, want := r.Former(), map[netip.Addr]netip.Addr{addr(100): addr(2)}; !maps.Equal(got, want) {
		t.Errorf("handed on to %v, want %v", got, want)
	}
}
