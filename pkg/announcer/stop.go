// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"time"

	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/ownership"
)

const (
	// handoverTimeout is how long the end of the agent waits for other nodes to take over what it has.
	handoverTimeout = 3 * time.Second
	// lastWrites is how long it then spends on telling the API server.
	lastWrites = 2 * time.Second
	// leaveTimeout is how long it spends on saying goodbye.
	leaveTimeout = time.Second
)

// stop ends the agent, make before break: others take over while this node still answers, and only what nobody takes is
// dropped.
func (p *parts) stop(life context.Context, end context.CancelCauseFunc) error {
	logger := klog.FromContext(life)
	logger.Info("Ending, handing addresses over", "addresses", p.agent.read().owned)
	ctx, cancel := context.WithTimeout(life, handoverTimeout)
	defer cancel()
	p.agent.handOver(ctx)
	p.bgp.stop(life)
	left := p.agent.leave(life)
	// The loop goes on until here: it carries what the others say.
	p.stopLoop()
	<-p.loopEnd
	p.stopWrites()
	<-p.writesEnd
	p.lastWords(life, left)
	bye, cancelBye := context.WithTimeout(life, leaveTimeout)
	defer cancelBye()
	if err := p.group.Leave(bye); err != nil {
		logger.V(2).Info("Not everybody may know that this node left", "err", err)
	}
	end(nil)
	logger.Info("Ended", "addressesLeft", len(left))
	return nil
}

// handOver returns when all addresses are handed over, nobody is there to take them, or ctx is done.
func (a *agent) handOver(ctx context.Context) {
	a.ask(ctx, func() { a.step(ctx, ownership.Drain{Active: true}) })
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		done := make(chan bool, 1)
		if !a.ask(ctx, func() { done <- a.machine.Held() == 0 || len(a.alive) == 0 }) || <-done {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// leave drops what is left, and returns the names of the VirtualIPs whose status this node has to clear; none where the
// loop has ended before, because layer 2 failed.
func (a *agent) leave(ctx context.Context) []string {
	result := make(chan []string, 1)
	a.do(ctx, func() {
		var left []string
		for _, ad := range a.vips {
			if ad.claim.announcing {
				left = append(left, ad.name)
			}
		}
		a.step(ctx, ownership.Leave{})
		result <- left
	})
	select {
	case left := <-result:
		return left
	case <-ctx.Done():
		return nil
	}
}

// lastWords tells the API server what became of the addresses that nobody took, and that the agent has stopped.
func (p *parts) lastWords(ctx context.Context, left []string) {
	ctx, cancel := context.WithTimeout(ctx, lastWrites)
	defer cancel()
	if err := p.reporter.stop(ctx); err != nil {
		klog.FromContext(ctx).Info("Announcer object not marked as stopped", "err", err)
	}
	if err := p.agent.status.flush(ctx, left); err != nil {
		klog.FromContext(ctx).Info("Status of addresses not cleared", "err", err)
	}
}
