// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/membership"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

// group is the part of membership.Membership that the loop uses.
type group interface {
	Events() <-chan membership.Event
	Members() []membership.Member
	SetSeeds(seeds []netip.AddrPort)
	Broadcast(payload []byte)
}

// objects are the listers' contents as the loop reads them.
type objects interface {
	virtualIP(name string) *v1alpha1.VirtualIP
	announcers() []*v1alpha1.Announcer
	announcer(name string) *v1alpha1.Announcer // nil if there is none
	node() nodeFacts
	synced() bool
}

// agent is the loop and everything that only the loop touches. Other goroutines reach it by inbox and calls.
type agent struct {
	self    string
	own     netip.Addr // by which others reach the node
	machine *ownership.Machine
	group   group
	speaker speaker
	objects objects
	status  *vipWriter
	sender  *sender
	flusher *flusher
	gates   *gateKeeper
	probes  *probeKeeper
	access  *accessKeeper
	routing *routeBoard
	hosts   *hostWatch
	// relay is nil where connections are not kept through moves.
	relay      relayer
	relayWatch *relayWatch
	// relayChanged is closed when the last change that was asked for is done; nil before the first.
	relayChanged <-chan struct{}
	events       *eventWriter
	metrics      *agentMetrics
	now          func() time.Time
	started      time.Time

	// linksChanged tells others of it.
	linksChanged func()

	inbox *inbox
	calls chan func() // run by the loop, in order
	tasks sync.WaitGroup

	vips   map[string]*address
	byAddr map[netip.Addr]*address
	alive  []string // other members that are alive, sorted
	voters []string // sorted
	view   nodeView
	seeds  map[string]netip.AddrPort
	drain  bool
	// gatewayLost: the gateway has answered this node before, and does no more.
	gatewayLost bool
	settled     bool
	recountAt   time.Time
	// announcing counts the addresses that the speaker answers for.
	announcing int
	// gateChanged are addresses whose gate the machine has not been told.
	gateChanged map[netip.Addr]*address
	// failing are addresses whose health check fails here; they are looked at again at failingAt.
	failing   map[netip.Addr]*address
	failingAt time.Time
	// settleBy is when the agent goes on without having met every announcer; zero before the objects are known.
	settleBy time.Time

	// beat is the time, in nanoseconds of the Unix epoch, at which the loop last went round.
	beat atomic.Int64
	// summary is what the loop last was at, for whoever reports it.
	summary atomic.Pointer[summary]
}

const (
	// settleTimeout is how long the agent waits, once it knows the cluster's announcers, to meet them.
	settleTimeout = 3 * time.Second
	// idle is the longest time the loop sleeps, which its health check relies on.
	idle = time.Second
	// clearDelay leaves a follower the time to write itself before this node clears its name from a status.
	clearDelay = 2 * time.Second
)

// run is the loop; it returns when ctx is done, having changed nothing more.
func (a *agent) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.inbox.wake:
			a.lookAtObjects(ctx)
		case ev, open := <-a.group.Events():
			if !open {
				return
			}
			a.hear(ctx, ev)
		case call := <-a.calls:
			call()
		case <-timer.C:
			a.step(ctx, ownership.Tick{})
		}
		a.recount(ctx)
		a.lookAtFailing(ctx)
		a.settle(ctx)
		a.publish()
		timer.Reset(a.untilNext())
	}
}

// do has the loop run f; it gives up when ctx is done.
func (a *agent) do(ctx context.Context, f func()) {
	select {
	case a.calls <- f:
	case <-ctx.Done():
	}
}

// ask has the loop run f and returns when it has, or when ctx is done, and f may then not run; it reports which.
func (a *agent) ask(ctx context.Context, f func()) bool {
	done := make(chan struct{})
	a.do(ctx, func() { defer close(done); f() })
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *agent) untilNext() time.Duration {
	wait := idle
	if t, ok := a.machine.NextDeadline(); ok {
		wait = min(wait, t.Sub(a.now()))
	}
	return max(wait, 0)
}

// hear takes in what the group reports.
func (a *agent) hear(ctx context.Context, ev membership.Event) {
	logger := klog.FromContext(ctx)
	switch ev.Kind {
	case membership.Message:
		m, err := decodeMessage(ev.Payload)
		if err != nil || m.From != ev.Member.Name {
			a.metrics.gossipMalformed.Inc()
			logger.V(2).Info("Gossip not understood", "member", ev.Member.Name, "from", m.From, "err", err)
			return
		}
		a.step(ctx, ownership.Heard{Message: m})
	default:
		logger.Info("Member "+ev.Kind.String(), "member", ev.Member.Name, "cause", ev.Cause)
		if ev.Kind == membership.Failed {
			a.hosts.failed(ctx, ev.Member.Name, ev.Member.Addr)
		} else {
			a.hosts.back(ev.Member.Name)
		}
		a.gates.hurry()
		before := a.announcing
		a.countMembers(ctx)
		if ev.Kind == membership.Failed || ev.Kind == membership.Left {
			a.step(ctx, ownership.Lost{Node: ev.Member.Name}) // and may be among the members again by now
		}
		if ev.Kind == membership.Failed {
			a.measure(ev, a.announcing > before)
		}
	}
}

// measure takes note of what the failure of a member took to notice and, if it made this node take over, to answer.
func (a *agent) measure(ev membership.Event, tookOver bool) {
	if ev.Silence > 0 {
		a.metrics.detection.Observe(ev.Silence.Seconds())
	}
	if tookOver {
		a.metrics.takeoverDelay.Observe(a.now().Sub(ev.At).Seconds())
	}
}
