// SPDX-License-Identifier: Apache-2.0

// Package wake lets goroutines tell one that sleeps that it has something to do. It owns the token that is passed, and
// must not know what there is to do.
package wake

import (
	"context"
	"time"
)

// Signal holds one token or none. Many goroutines may poke it; one receives from it, or runs its Loop. However often it
// is poked before that one wakes, it wakes once: what there is to do stands elsewhere. The nil Signal is never poked.
type Signal chan struct{}

// New returns a signal without a token.
func New() Signal { return make(Signal, 1) }

// Poke wakes the receiver, now or when it next sleeps. It never waits.
func (s Signal) Poke() {
	select {
	case s <- struct{}{}:
	default: // a token is there already
	}
}

// Loop calls work at once, and then whenever the signal is poked and when the pause is over that work last asked for,
// until ctx is done. Calls do not overlap; a negative pause is none.
func (s Signal) Loop(ctx context.Context, work func(ctx context.Context) (pause time.Duration)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s:
		case <-timer.C:
		}
		timer.Reset(work(ctx))
	}
}
