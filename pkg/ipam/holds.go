// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"container/heap"
	"net/netip"
	"slices"
	"time"
)

// hold keeps an address from being handed out until a time, or without an end where that is zero: for its last owners
// (keys), or for nobody because another station uses it (no keys).
type hold struct {
	keys  []string
	until time.Time
	// charged is the account that counts the address; nil for none.
	charged *account
}

// isFor reports whether the address is kept for the owner.
func (h hold) isFor(key string) bool { return slices.Contains(h.keys, key) }

// isQuarantine reports whether the address is kept from everybody.
func (h hold) isQuarantine() bool { return len(h.keys) == 0 }

// holds is the reserved and the quarantined addresses. One address has at most
// one hold.
type holds struct {
	byAddr map[netip.Addr]hold
	byKey  map[string][]netip.Addr // reservations, ascending
	due    dueHeap
}

func newHolds() holds {
	return holds{byAddr: map[netip.Addr]hold{}, byKey: map[string][]netip.Addr{}}
}

// set replaces the hold of addr.
func (h *holds) set(addr netip.Addr, to hold) {
	h.drop(addr)
	h.byAddr[addr] = to
	for _, key := range to.keys {
		i, _ := slices.BinarySearchFunc(h.byKey[key], addr, netip.Addr.Compare)
		h.byKey[key] = slices.Insert(h.byKey[key], i, addr)
	}
	if !to.until.IsZero() {
		heap.Push(&h.due, dueItem{addr: addr, until: to.until})
	}
}

// drop forgets the hold of addr. What is left of it in the heap is passed over
// when its time comes.
func (h *holds) drop(addr netip.Addr) {
	old, ok := h.byAddr[addr]
	if !ok {
		return
	}
	delete(h.byAddr, addr)
	for _, key := range old.keys {
		kept := h.byKey[key]
		if i, found := slices.BinarySearchFunc(kept, addr, netip.Addr.Compare); found {
			kept = slices.Delete(kept, i, i+1)
		}
		if h.byKey[key] = kept; len(kept) == 0 {
			delete(h.byKey, key)
		}
	}
}

// nextDue returns the address whose hold ends first, and when that is.
func (h *holds) nextDue() (netip.Addr, time.Time, bool) {
	for len(h.due) > 0 {
		item := h.due[0]
		if current, ok := h.byAddr[item.addr]; ok && current.until.Equal(item.until) {
			return item.addr, item.until, true
		}
		heap.Pop(&h.due)
	}
	return netip.Addr{}, time.Time{}, false
}

type dueItem struct {
	addr  netip.Addr
	until time.Time
}

// dueHeap is a container/heap, earliest first.
type dueHeap []dueItem

func (d dueHeap) Len() int           { return len(d) }
func (d dueHeap) Less(i, j int) bool { return d[i].until.Before(d[j].until) }
func (d dueHeap) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }

// Push implements heap.Interface.
func (d *dueHeap) Push(item any) { *d = append(*d, item.(dueItem)) }

// Pop implements heap.Interface.
func (d *dueHeap) Pop() any {
	last := len(*d) - 1
	item := (*d)[last]
	*d = (*d)[:last]
	return item
}
