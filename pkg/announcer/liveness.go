// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// loopStall is how long the loop may be silent before the agent is not healthy. It goes round every second.
const loopStall = 10 * time.Second

// liveness answers the kubelet's questions.
type liveness struct{ parts atomic.Pointer[parts] }

func newLiveness() *liveness { return &liveness{} }

func (h *liveness) set(p *parts) { h.parts.Store(p) }

// alive returns an error if the agent should be restarted. Waiting for its key or for an address is no reason.
func (h *liveness) alive() error {
	p := h.parts.Load()
	if p == nil {
		return nil
	}
	beat := time.Unix(0, p.agent.beat.Load())
	if d := time.Since(beat); p.agent.beat.Load() != 0 && d > loopStall {
		return fmt.Errorf("the loop has not gone round for %v", d.Round(time.Second))
	}
	return nil
}

// ready returns why the agent does not take part yet.
func (h *liveness) ready() error {
	p := h.parts.Load()
	switch {
	case p == nil:
		return errors.New("starting: no gossip key or no address yet")
	case !p.objects.synced():
		return errors.New("objects have not been read from the API server")
	case !p.agent.read().settled:
		return errors.New("the other announcers have not been met")
	}
	return nil
}
