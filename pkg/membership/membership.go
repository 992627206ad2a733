// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/wake"
)

// tcpTimeout bounds a push/pull or a large payload, from dialling to the last byte.
const tcpTimeout = 2 * time.Second

// Membership is this node's part in the group. Its methods may be called from any goroutine.
type Membership struct {
	cfg        Config
	boot       bootID
	list       *memberlist.Memberlist
	keyring    *memberlist.Keyring
	broadcasts *memberlist.TransmitLimitedQueue
	seq        atomic.Uint64
	leaving    atomic.Bool
	stats      counters

	inbox  *queue[any]
	outbox *queue[Event]
	events chan Event

	mu    sync.RWMutex // guards view and seeds
	view  *view
	seeds []netip.AddrPort

	detector     *detector // belongs to beat
	hearts       *heartbeats
	acquainted   atomic.Int32
	listChanged  wake.Signal
	probeAnswers chan string

	seedsChanged wake.Signal
	keysMu       sync.Mutex
	leaveMu      sync.Mutex // memberlist must not be left once it is shut down
	ctx          context.Context
	cancel       context.CancelFunc
	tasks        sync.WaitGroup
	closeOnce    sync.Once
	closeErr     error
}

// Join opens the sockets and takes part. Nobody is contacted before SetSeeds. The logger comes from ctx; the end of ctx
// does not end the membership, Close does. The error names every fault of cfg, or the address that cannot be bound.
func Join(ctx context.Context, cfg Config) (*Membership, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, fmt.Errorf("membership: %w", err)
	}
	m := &Membership{
		cfg: cfg, boot: newBootID(), view: newView(cfg.NodeName),
		inbox: newQueue[any](), outbox: newQueue[Event](), events: make(chan Event, 16),
		seedsChanged: wake.New(), listChanged: wake.New(), probeAnswers: make(chan string),
		detector: newDetector(cfg.NodeName, cfg.Tuning.HeartbeatInterval, cfg.Tuning.HeartbeatMisses),
	}
	m.ctx, m.cancel = context.WithCancel(context.WithoutCancel(ctx))
	m.broadcasts = &memberlist.TransmitLimitedQueue{NumNodes: m.numNodes, RetransmitMult: 4}
	if err := m.open(klog.FromContext(ctx)); err != nil {
		m.cancel()
		return nil, err
	}
	m.tasks.Go(m.run)
	m.tasks.Go(m.beat)
	m.tasks.Go(m.hearts.read)
	m.tasks.Go(m.deliver)
	m.tasks.Go(m.rejoin)
	return m, nil
}

// open binds the sockets and starts memberlist.
func (m *Membership) open(logger klog.Logger) error {
	var err error
	if m.keyring, err = memberlist.NewKeyring(m.cfg.Keys, m.cfg.Keys[0]); err != nil {
		return fmt.Errorf("membership: %w", err)
	}
	if m.hearts, err = listenHeartbeats(m.cfg, subject{m.cfg.NodeName, m.boot}, &m.stats); err != nil {
		return fmt.Errorf("membership: bind heartbeat port %d: %w", m.cfg.HeartbeatPort, err)
	}
	conf := memberlistConfig(m.cfg)
	conf.Keyring, conf.Logger = m.keyring, newMemberlistLogger(logger)
	conf.Delegate, conf.Events = delegate{m}, delegate{m}
	t, err := newTransport(m.ctx, m.cfg, conf.Logger)
	if err != nil {
		m.hearts.conn.Close()
		return fmt.Errorf("membership: bind %v: %w", m.cfg.BindAddr, err)
	}
	conf.Transport = t
	if m.list, err = memberlist.Create(conf); err != nil {
		m.hearts.conn.Close()
		_ = t.Shutdown() // what counts is why there is no memberlist
		return fmt.Errorf("membership: start memberlist: %w", err)
	}
	return nil
}

func memberlistConfig(cfg Config) *memberlist.Config {
	c, t := memberlist.DefaultLANConfig(), cfg.Tuning
	c.Name = cfg.NodeName
	c.BindAddr, c.BindPort = cfg.BindAddr.Addr().String(), int(cfg.BindAddr.Port())
	c.AdvertiseAddr, c.AdvertisePort = cfg.BindAddr.Addr().String(), int(cfg.BindAddr.Port())
	c.ProbeInterval, c.ProbeTimeout = t.ProbeInterval, t.ProbeTimeout
	c.SuspicionMult = t.SuspicionMult
	c.EnableCompression = false // it makes small packets no smaller, and costs more than sending them
	// A node cut off from all who could confirm its suspicions must not take six times as long.
	c.SuspicionMaxTimeoutMult = 2
	c.AwarenessMaxMultiplier = 4
	c.GossipInterval, c.PushPullInterval = t.GossipInterval, t.PushPullInterval
	// A TCP connection through a broken UDP path would keep a node in the group that no probe reaches in time.
	c.DisableTcpPings = true
	c.TCPTimeout = tcpTimeout
	c.HandoffQueueDepth = 8192
	// A node may come back under another address, as soon as it is dead under the former.
	c.DeadNodeReclaimTime = time.Millisecond
	return c
}

// run owns the view until the membership is closed.
func (m *Membership) run() {
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.inbox.ready:
			for _, in := range m.inbox.take() {
				m.handle(in, time.Now())
			}
		}
	}
}

func (m *Membership) handle(in any, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch in := in.(type) {
	case nodeListed:
		m.emit(m.view.joined(in.node, now)...)
	case nodeGone:
		m.emit(m.view.delisted(in.name, now)...)
	case userMessage:
		m.emit(m.view.received(in.envelope, now)...)
		if in.envelope.kind != envelopeLeave {
			return
		}
	}
	m.notifyListChanged()
}

// emit queues events for the receiver and counts them.
func (m *Membership) emit(events ...Event) {
	for _, e := range events {
		payload := e.Kind == Message
		switch {
		case payload:
			m.stats.payloadsIn.Add(1)
		case e.Kind == Recovered:
			m.stats.recovered.Add(1)
		case e.Kind == Failed && e.Cause == CauseHeartbeat:
			m.stats.failedHeartbeat.Add(1)
		case e.Kind == Failed:
			m.stats.failedGossip.Add(1)
		}
		if !m.outbox.push(e, payload) {
			m.stats.payloadsDropped.Add(1)
		}
	}
}

// deliver hands the events over, in order, as fast as they are read.
func (m *Membership) deliver() {
	defer close(m.events)
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.outbox.ready:
		}
		for _, e := range m.outbox.take() {
			select {
			case m.events <- e:
			case <-m.ctx.Done():
				return
			}
		}
	}
}

// Events returns the channel of all events; it is closed by Close. The group never waits for its reader: changes of
// membership are queued without bound, payloads up to 16384, beyond which new ones are dropped and counted
// (the next push/pull repairs that).
func (m *Membership) Events() <-chan Event { return m.events }

// Members returns the other members, sorted by name, with those that failed or left recently.
func (m *Membership) Members() []Member {
	m.mu.RLock()
	out := m.view.list()
	m.mu.RUnlock()
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Reachable returns how many nodes this one reaches and how many it knows that have not left, itself in both. Before
// it has met anybody it returns 1, 1: who decides on majorities compares with the size the group should have.
func (m *Membership) Reachable() (reachable, known int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	reachable, known = 1, 1
	for _, e := range m.view.members {
		if e.up() {
			reachable++
		}
		if e.State != StateLeft {
			known++
		}
	}
	return reachable, known
}

// numNodes is how many nodes gossip has to reach.
func (m *Membership) numNodes() int {
	n, _ := m.Reachable()
	return n
}

// SetKeys replaces the keys without an interruption: the first encrypts from now on, all decrypt. To rotate, on every
// node in turn, set (old, new), then (new, old), then (new), each step only when the one before is done everywhere.
// On an error, which never contains a key, the old keys remain.
func (m *Membership) SetKeys(keys [][]byte) error {
	if err := validateKeys(keys); err != nil {
		return fmt.Errorf("membership: set keys: %w", err)
	}
	copied := make([][]byte, len(keys))
	for i := range keys {
		copied[i] = slices.Clone(keys[i])
	}
	keys = copied
	m.keysMu.Lock()
	defer m.keysMu.Unlock()
	if err := replaceKeys(m.keyring, keys); err != nil {
		return fmt.Errorf("membership: set keys: %w", err)
	}
	m.hearts.seal.setKeys(keys)
	return nil
}

// Leave tells the others that this node goes, so that they see Left at once, and returns when the message has been
// sent often enough or ctx ends. Call Close afterwards. Nothing else may be sent after Leave.
func (m *Membership) Leave(ctx context.Context) error {
	m.leaving.Store(true)
	m.notifyListChanged()
	m.sendToAll(m.envelope(envelopeLeave, nil).marshal())
	timeout := tcpTimeout
	if d, ok := ctx.Deadline(); ok {
		timeout = max(time.Millisecond, time.Until(d))
	}
	done := make(chan error, 1)
	go func() { done <- m.leave(timeout) }() // Close waits for it by leaveMu
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("membership: leave: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("membership: leave: %w", context.Cause(ctx))
	}
}

func (m *Membership) leave(timeout time.Duration) error {
	m.leaveMu.Lock()
	defer m.leaveMu.Unlock()
	if m.ctx.Err() != nil {
		return context.Canceled
	}
	// The metadata reach also those that a direct message did not, and tell leaving from failing.
	if err := m.list.UpdateNode(timeout / 2); err != nil {
		return err
	}
	return m.list.Leave(timeout / 2)
}

// Close closes the sockets and waits for every goroutine of this package; memberlist's own end with their current
// probe, within a second. To the others this looks like a crash unless Leave came before. It may be called again.
func (m *Membership) Close() error {
	m.closeOnce.Do(func() {
		m.leaveMu.Lock()
		defer m.leaveMu.Unlock()
		m.cancel()
		m.closeErr = errors.Join(m.list.Shutdown(), m.hearts.conn.Close())
		m.tasks.Wait()
	})
	return m.closeErr
}
