// SPDX-License-Identifier: Apache-2.0

package wake

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		s, begin, ended := New(), time.Now(), make(chan struct{})
		var calls []time.Duration
		go func() {
			defer close(ended)
			s.Loop(ctx, func(context.Context) time.Duration {
				calls = append(calls, time.Since(begin))
				return 10 * time.Second
			})
		}()
		at := func(d time.Duration) { time.Sleep(time.Until(begin.Add(d))); synctest.Wait() }
		at(12 * time.Second) // called at once, and after the pause
		s.Poke()
		at(21 * time.Second) // a poke begins a pause anew
		stop()
		<-ended
		s.Poke()
		want := []time.Duration{0, 10 * time.Second, 12 * time.Second}
		if !slices.Equal(calls, want) {
			t.Errorf("called at %v, want %v", calls, want)
		}
	})
}

func TestPokesAreOne(t *testing.T) {
	s := New()
	for range 3 {
		s.Poke()
	}
	<-s
	select {
	case <-s:
		t.Error("three pokes before the first waking woke twice")
	default:
	}
}
