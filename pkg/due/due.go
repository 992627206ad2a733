// SPDX-License-Identifier: Apache-2.0

// Package due orders things by the time at which something is to be done about them, so that whoever does it need not
// look through all of them to find the next. It owns the order, and must not know a clock, nor what there is to do.
package due

import (
	"container/heap"
	"time"
)

// Queue holds keys, each with one time. The zero value is an empty queue. Set, Remove and Take take a time that grows with
// the logarithm of their number; a queue must not be used by two goroutines at once.
type Queue[K comparable] struct {
	order order[K]
}

// Set puts the key into the queue, or moves it to another time.
func (q *Queue[K]) Set(key K, at time.Time) {
	if i, ok := q.order.places[key]; ok {
		q.order.items[i].at = at
		heap.Fix(&q.order, i)
		return
	}
	heap.Push(&q.order, item[K]{key, at})
}

// Remove takes the key out of the queue, and reports whether it was there.
func (q *Queue[K]) Remove(key K) bool {
	i, ok := q.order.places[key]
	if ok {
		heap.Remove(&q.order, i)
	}
	return ok
}

// First returns the key with the earliest time, one of them if there are several; ok is false if the queue is empty.
func (q *Queue[K]) First() (key K, at time.Time, ok bool) {
	if len(q.order.items) == 0 {
		return key, at, false
	}
	first := q.order.items[0]
	return first.key, first.at, true
}

// Take takes the first key out of the queue if its time is not after now.
func (q *Queue[K]) Take(now time.Time) (key K, ok bool) {
	key, at, ok := q.First()
	if !ok || at.After(now) {
		var none K
		return none, false
	}
	heap.Pop(&q.order)
	return key, true
}

// Has reports whether the key is in the queue.
func (q *Queue[K]) Has(key K) bool {
	_, ok := q.order.places[key]
	return ok
}

type item[K comparable] struct {
	key K
	at  time.Time
}

// order implements heap.Interface and knows where each key is.
type order[K comparable] struct {
	items  []item[K]
	places map[K]int
}

// Len implements heap.Interface.
func (o *order[K]) Len() int { return len(o.items) }

// Less implements heap.Interface.
func (o *order[K]) Less(i, j int) bool { return o.items[i].at.Before(o.items[j].at) }

// Swap implements heap.Interface.
func (o *order[K]) Swap(i, j int) {
	o.items[i], o.items[j] = o.items[j], o.items[i]
	o.places[o.items[i].key], o.places[o.items[j].key] = i, j
}

// Push implements heap.Interface.
func (o *order[K]) Push(x any) {
	added := x.(item[K]) //nolint:forcetypeassert // only Set calls it
	if o.places == nil {
		o.places = map[K]int{}
	}
	o.places[added.key] = len(o.items)
	o.items = append(o.items, added)
}

// Pop implements heap.Interface.
func (o *order[K]) Pop() any {
	last := len(o.items) - 1
	popped := o.items[last]
	o.items[last] = item[K]{}
	o.items = o.items[:last]
	delete(o.places, popped.key)
	return popped
}
