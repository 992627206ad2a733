// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"sync"

	"github.com/fairlead-io/fairlead/pkg/wake"
)

// inbox collects what informers report until the loop takes it: names of VirtualIPs that changed, each once however
// often, and whether anything else did. Nobody waits to put something in.
type inbox struct {
	mu   sync.Mutex
	vips map[string]struct{}
	wake wake.Signal // poked while there is something to take
}

func newInbox() *inbox {
	return &inbox{vips: map[string]struct{}{}, wake: wake.New()}
}

// vip notes that a VirtualIP appeared, changed or went.
func (b *inbox) vip(name string) {
	b.mu.Lock()
	b.vips[name] = struct{}{}
	b.mu.Unlock()
	b.poke()
}

// poke wakes the loop to look at announcers, node and links again.
func (b *inbox) poke() { b.wake.Poke() }

// take empties the inbox.
func (b *inbox) take() map[string]struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.vips
	b.vips = map[string]struct{}{}
	return out
}
