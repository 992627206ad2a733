// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"sync"

	"github.com/fairlead-io/fairlead/pkg/wake"
)

// maxQueuedPayloads bounds the payload events that wait for a slow receiver.
const maxQueuedPayloads = 16384

// queue is an unbounded FIFO, so that who pushes never waits: memberlist calls its delegates with locks held. Only
// droppable items are bounded in number; beyond it the newcomer is dropped and counted.
type queue[T any] struct {
	mu        sync.Mutex
	items     []T
	droppable int
	ready     wake.Signal // poked while items is not empty
}

func newQueue[T any]() *queue[T] { return &queue[T]{ready: wake.New()} }

// push appends an item; false means it was dropped.
func (q *queue[T]) push(item T, droppable bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if droppable {
		if q.droppable >= maxQueuedPayloads {
			return false
		}
		q.droppable++
	}
	q.items = append(q.items, item)
	q.ready.Poke()
	return true
}

// take removes and returns everything.
func (q *queue[T]) take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items, q.droppable = nil, 0
	return items
}
