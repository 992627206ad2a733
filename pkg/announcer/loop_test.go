// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/l2"
	"github.com/fairlead-io/fairlead/pkg/membership"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

// loopTest is the agent of node n1, alone in its cluster, with the real loop, machine and status writer. Objects come from
// a store, and what would go to the network is kept.
type loopTest struct {
	*agent
	store  *vipStore
	wire   *fakeSegment
	events *record.FakeRecorder
	kept   *fakeRelay
	others map[string]*v1alpha1.Announcer
	// call has the loop run f.
	call func(f func(ctx context.Context))
}

func addrOfA() netip.Addr { return netip.MustParseAddr("10.0.0.100") }

// vipA is the VirtualIP called a, for layer 2, with n1 as its only candidate.
func vipA(edits ...func(*v1alpha1.VirtualIP)) *v1alpha1.VirtualIP {
	vip := &v1alpha1.VirtualIP{
		ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "1", ResourceVersion: "1"},
		Spec: v1alpha1.VirtualIPSpec{
			Address: addrOfA().String(), Candidates: []string{"n1"}, Epoch: 1,
			Announce: []v1alpha1.Announcement{{L2: &v1alpha1.L2Announcement{}}},
			Services: []v1alpha1.ServiceClaim{{Namespace: "default", Name: "web"}},
		},
	}
	for _, edit := range edits {
		edit(vip)
	}
	return vip
}

// withLoop runs the agent in virtual time, with the VirtualIP in the store, after what is to come before.
func withLoop(t *testing.T, vip *v1alpha1.VirtualIP, f func(l *loopTest), before ...func(ctx context.Context, l *loopTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := newLoopTest()
		for _, prepare := range before {
			prepare(ctx, l)
		}
		l.call = func(f func(context.Context)) {
			l.ask(ctx, func() { f(ctx) })
			synctest.Wait()
		}
		var running sync.WaitGroup
		running.Go(func() { l.run(ctx) })
		running.Go(func() { l.status.run(ctx) })
		running.Go(func() { l.flusher.run(ctx) })
		running.Go(func() { l.gates.run(ctx) })
		l.put(vip)
		f(l)
		cancel()
		running.Wait()
		l.tasks.Wait()
		l.hosts.wait()
	})
}

func newLoopTest() *loopTest {
	l := &loopTest{
		store: newVIPStore(nil), wire: newFakeSegment(), events: record.NewFakeRecorder(100), kept: newFakeRelay(),
		others: map[string]*v1alpha1.Announcer{},
	}
	m, box, nothing := newAgentMetrics(), newInbox(), func() {}
	l.agent = &agent{
		self: "n1", hosts: newHostWatch(nothing), group: l.wire, speaker: l.wire, objects: l, now: time.Now, started: time.Now(), metrics: m,
		machine: ownership.New(machineOptions(Config{NodeName: "n1", Quorum: ownership.QuorumNone}, time.Now())),
		status:  newVIPWriter("n1", l, l.store, m), sender: newSender(nil, m), events: newEventWriter(l.events, m),
		gates: newGateKeeper("", nil, nothing), access: newAccessKeeper(nil, nothing), routing: newRouteBoard(nothing, nothing),
		probes: newProbeKeeper(func([]netip.Addr) {}, m.probed), flusher: newFlusher(l.wire.flush, func() time.Duration { return udpMemory }), linksChanged: nothing,
		relay: l.kept, relayWatch: newRelayWatch(l.kept, 7946, func(int) {}),
		inbox: box, calls: make(chan func()),
		vips: map[string]*address{}, byAddr: map[netip.Addr]*address{}, gateChanged: map[netip.Addr]*address{},
		failing: map[netip.Addr]*address{},
	}
	return l
}

// put writes the object as the API server would have it, and returns when the agent has done what it means to.
func (l *loopTest) put(vip *v1alpha1.VirtualIP) {
	l.store.set(func() { l.store.objects[vip.Name] = vip })
	l.inbox.vip(vip.Name)
	synctest.Wait()
}

// edit changes the spec of a, whose status stays.
func (l *loopTest) edit(change func(*v1alpha1.VirtualIP)) {
	vip := l.virtualIP("a")
	change(vip)
	l.put(vip)
}

// pass lets time go by.
func (l *loopTest) pass(d time.Duration) {
	time.Sleep(d) // virtual
	synctest.Wait()
}

// told returns the events since it was last asked.
func (l *loopTest) told() []string {
	var out []string
	for len(l.events.Events) > 0 {
		out = append(out, <-l.events.Events)
	}
	return out
}

// Patch writes a status, of which the informers then tell.
func (l *loopTest) Patch(ctx context.Context, name string, kind types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*v1alpha1.VirtualIP, error) {
	vip, err := l.store.Patch(ctx, name, kind, data, o, sub...)
	l.inbox.vip(name)
	return vip, err
}

func (l *loopTest) virtualIP(name string) *v1alpha1.VirtualIP {
	vip, err := l.store.Get(name)
	if err != nil {
		return nil
	}
	return vip
}

func (l *loopTest) announcers() []*v1alpha1.Announcer {
	return []*v1alpha1.Announcer{{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}}
}
func (l *loopTest) announcer(name string) *v1alpha1.Announcer { return l.others[name] }
func (l *loopTest) node() nodeFacts                           { return nodeFacts{labels: labels.Set{}} }
func (l *loopTest) synced() bool                              { return true }

// fakeSegment is the network as the loop uses it.
type fakeSegment struct {
	mu        sync.Mutex
	answered  map[netip.Addr]bool
	postponed []netip.Addr
	lastsFor  time.Duration // the last of these
	repeated  []netip.Addr
	probes    int                 // begun
	found     *l2.Conflict        // by a probe, at its end
	failure   error               // of a probe
	said      []ownership.Message // by gossip
	flushed   []netip.Addr
	hangs     chan struct{} // what a flush waits for; nil: nothing
	late      bool          // flushed while answering for addrOfA
	members   []membership.Member
}

// probeTime is what a probe takes.
const probeTime = 800 * time.Millisecond

// udpMemory is how long the kernel remembers UDP flows.
const udpMemory = 2 * time.Minute

func newFakeSegment() *fakeSegment { return &fakeSegment{answered: map[netip.Addr]bool{}} }

func (s *fakeSegment) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *fakeSegment) answers() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered[addrOfA()]
}

// silent tells what was last said of the claim to the address.
func (s *fakeSegment) silent(t *testing.T) bool {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range slices.Backward(s.said) {
		for _, e := range m.Entries {
			if e.Phase == ownership.PhaseHolding {
				return e.Silent
			}
		}
	}
	t.Fatal("no claim was made")
	return false
}

func (s *fakeSegment) Links() []l2.Link {
	return []l2.Link{{
		Index: 2, Name: "eth0", MAC: l2.MAC{2, 0, 0, 0, 0, 1}, Up: true,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")},
	}}
}

func (s *fakeSegment) Add(all ...l2.Announcement) error {
	s.do(func() {
		for _, a := range all {
			s.answered[a.Address] = true
		}
	})
	return nil
}

func (s *fakeSegment) Postpone(addr netip.Addr, by time.Duration) {
	s.do(func() { s.postponed, s.lastsFor = append(s.postponed, addr), by })
}

func (s *fakeSegment) Reannounce(addr netip.Addr) {
	s.do(func() { s.repeated = append(s.repeated, addr) })
}

func (s *fakeSegment) Remove(addrs ...netip.Addr) {
	s.do(func() {
		for _, a := range addrs {
			delete(s.answered, a)
		}
	})
}

func (s *fakeSegment) Probe(ctx context.Context, _ netip.Addr, _ []string) (*l2.Conflict, error) {
	s.do(func() { s.probes++ })
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(probeTime):
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.found, s.failure
}

func (s *fakeSegment) SetPeers(map[l2.MAC]string)      {}
func (s *fakeSegment) Events() <-chan membership.Event { return nil }
func (s *fakeSegment) Members() []membership.Member    { return s.members }
func (s *fakeSegment) SetSeeds([]netip.AddrPort)       {}

func (s *fakeSegment) Broadcast(payload []byte) {
	m, err := decodeMessage(payload)
	if err != nil {
		panic(err)
	}
	s.do(func() { s.said = append(s.said, m) })
}

func (s *fakeSegment) flush(addrs ...netip.Addr) (int, error) {
	s.do(func() { s.flushed, s.late = append(s.flushed, addrs...), s.answered[addrOfA()] })
	if s.hangs != nil {
		<-s.hangs
	}
	return len(addrs), nil
}
