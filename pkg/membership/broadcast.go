// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// MaxFastPayload is the largest payload in bytes that fits one datagram of gossip with the longest node name.
	// Larger ones go by TCP.
	MaxFastPayload = 1024
	// directMembers is up to how many members a payload is sent to each of them at once, rather than left to gossip,
	// which takes a number of rounds that grows with the logarithm of the group.
	directMembers = 32
	// streamsAtOnce bounds concurrent TCP sends of one payload.
	streamsAtOnce = 8
)

// gossiped is a payload in memberlist's queue; none replaces another.
type gossiped []byte

func (g gossiped) Invalidates(memberlist.Broadcast) bool { return false }
func (g gossiped) Message() []byte                       { return g }
func (g gossiped) Finished()                             {}
func (g gossiped) UniqueBroadcast()                      {}

func (m *Membership) envelope(kind envelopeKind, payload []byte) envelope {
	return envelope{kind: kind, boot: m.boot, seq: m.seq.Add(1), from: m.cfg.NodeName, payload: payload}
}

// Broadcast sends payload to all members, best effort and fast: up to 32 members get it directly, and everyone by
// gossip too, which makes up for a lost datagram; each sees it once. Payloads above MaxFastPayload go by TCP to every
// member, in the background; split thousands of items into payloads below it. It does not keep payload. Two payloads
// may arrive in either order.
func (m *Membership) Broadcast(payload []byte) {
	if m.ctx.Err() != nil {
		return
	}
	m.stats.payloadsOut.Add(1)
	buf := m.envelope(envelopeMessage, payload).marshal()
	if len(payload) > MaxFastPayload {
		m.streamToAll(buf)
		return
	}
	m.sendToAll(buf)
	m.broadcasts.QueueBroadcast(gossiped(buf))
}

// Send sends payload to one member reliably (TCP), and returns when its kernel has it, at most 2 s later.
func (m *Membership) Send(name string, payload []byte) error {
	m.mu.RLock()
	e := m.view.members[name]
	var node memberlist.Node
	if e != nil {
		node = e.node
	}
	m.mu.RUnlock()
	if e == nil {
		return fmt.Errorf("membership: send to %q: not a member", name)
	}
	m.stats.payloadsOut.Add(1)
	if err := m.list.SendReliable(&node, m.envelope(envelopeMessage, payload).marshal()); err != nil {
		return fmt.Errorf("membership: send to %q: %w", name, err)
	}
	return nil
}

// targets returns the members worth sending to.
func (m *Membership) targets() []memberlist.Node {
	m.mu.RLock()
	defer m.mu.RUnlock()
	nodes := make([]memberlist.Node, 0, len(m.view.members))
	for _, e := range m.view.members {
		if e.member() && !e.gone {
			nodes = append(nodes, e.node)
		}
	}
	return nodes
}

// sendToAll sends one datagram to each member, if they are few. Errors are those of a full socket or a lost route:
// gossip and push/pull make up for them.
func (m *Membership) sendToAll(buf []byte) {
	nodes := m.targets()
	if len(nodes) > directMembers {
		return
	}
	for i := range nodes {
		_ = m.list.SendBestEffort(&nodes[i], buf)
	}
}

func (m *Membership) streamToAll(buf []byte) {
	nodes := m.targets()
	m.tasks.Go(func() {
		slots, wg := make(chan struct{}, streamsAtOnce), sync.WaitGroup{}
		for i := range nodes {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				_ = m.list.SendReliable(&nodes[i], buf) // push/pull makes up for it
			})
		}
		wg.Wait()
	})
}

// received turns a payload into an event, once.
func (v *view) received(e envelope, now time.Time) []Event {
	sender := v.members[e.from]
	if sender != nil && sender.boot() == e.boot && !sender.replay.accept(e.seq) {
		return nil
	}
	member := Member{Name: e.from}
	if sender != nil {
		member = sender.Member
	}
	if e.kind == envelopeLeave {
		return v.leaving(e.from, e.boot, now)
	}
	return []Event{{Kind: Message, Member: member, Payload: e.payload, At: now}} // parsing refuses all other kinds
}
