// SPDX-License-Identifier: Apache-2.0

package ownership

import (
	"container/heap"
	"time"
)

// timers holds at most one live deadline per record, the one in its wakeAt;
// replaced ones stay in the heap until their time and are then passed over.
type timers struct{ heap timerHeap }

type timer struct {
	at     time.Time
	record *record
}

// set makes at the only deadline of the record.
func (t *timers) set(r *record, at time.Time) {
	if r.wakeAt.Equal(at) {
		return
	}
	r.wakeAt = at
	heap.Push(&t.heap, timer{at, r})
}

// stop removes the deadline of the record.
func (t *timers) stop(r *record) { r.wakeAt = time.Time{} }

// due takes out the records whose deadline has come.
func (t *timers) due(now time.Time) []*record {
	var out []*record
	for len(t.heap) > 0 && !t.heap[0].at.After(now) {
		e := heap.Pop(&t.heap).(timer)
		if e.record.wakeAt.Equal(e.at) {
			t.stop(e.record)
			out = append(out, e.record)
		}
	}
	return out
}

// next returns the earliest live deadline.
func (t *timers) next() (time.Time, bool) {
	for len(t.heap) > 0 {
		if e := t.heap[0]; e.record.wakeAt.Equal(e.at) {
			return e.at, true
		}
		heap.Pop(&t.heap)
	}
	return time.Time{}, false
}

// timerHeap implements heap.Interface.
type timerHeap []timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)        { *h = append(*h, x.(timer)) }
func (h *timerHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
