// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"net/netip"
	"slices"
	"time"

	"github.com/fairlead-io/fairlead/pkg/due"
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
	ends   due.Queue[netip.Addr]   // those that have an end
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
		h.ends.Set(addr, to.until)
	}
}

// drop forgets the hold of addr.
func (h *holds) drop(addr netip.Addr) {
	old, ok := h.byAddr[addr]
	if !ok {
		return
	}
	delete(h.byAddr, addr)
	h.ends.Remove(addr)
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
