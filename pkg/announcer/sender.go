// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"sync"

	"k8s.io/klog/v2"
)

const (
	// senders is how many messages to single members may be under way; one to a dead member takes 2 s.
	senders = 4
	// sendQueue is how many may wait. What is lost, the machine asks for again.
	sendQueue = 256
)

type outgoing struct {
	to      string
	payload []byte
}

// sender carries messages to one member each, without the loop having to wait for TCP.
type sender struct {
	deliver func(name string, payload []byte) error
	queue   chan outgoing
	metrics *agentMetrics
}

func newSender(deliver func(string, []byte) error, m *agentMetrics) *sender {
	return &sender{deliver: deliver, queue: make(chan outgoing, sendQueue), metrics: m}
}

func (s *sender) send(to string, payload []byte) {
	select {
	case s.queue <- outgoing{to, payload}:
	default:
		s.metrics.sendsDropped.Inc()
	}
}

func (s *sender) run(ctx context.Context) {
	var workers sync.WaitGroup
	for range senders {
		workers.Go(func() { s.work(ctx) })
	}
	workers.Wait()
}

func (s *sender) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-s.queue:
			if err := s.deliver(o.to, o.payload); err != nil {
				s.metrics.sendsDropped.Inc()
				klog.FromContext(ctx).V(2).Info("Message not sent", "member", o.to, "err", err)
			}
		}
	}
}
