// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Holder is who holds an address.
type Holder struct {
	// Key names the owner, "namespace/name" of the Service that first claimed
	// the address. It is "" where nobody does: a reservation that a user made,
	// or an address that another leader is known to have claimed.
	Key string
	// Namespace is charged for the address (PoolSpec.MaxPerNamespace); "" is
	// no namespace.
	Namespace string
	// Pool is the pool that the address was assigned from, whatever pools hold
	// it now.
	Pool string
}

// TakenError says that an address cannot be had. It wraps ErrAddressInUse.
type TakenError struct {
	Address netip.Addr
	Holder  Holder    // who has it; zero where it is kept
	KeptFor string    // the owners it is reserved for, ", " between them, "" if it is quarantined
	Until   time.Time // end of the reservation or quarantine; zero if assigned, or kept without an end
}

// Error implements error.
func (e *TakenError) Error() string {
	switch {
	case e.Until.IsZero() && e.KeptFor != "":
		return fmt.Sprintf("address %s is kept for %s, which gave it up", e.Address, e.KeptFor)
	case e.Until.IsZero() && e.Holder.Key == "":
		return fmt.Sprintf("address %s is already in use", e.Address)
	case e.Until.IsZero():
		return fmt.Sprintf("address %s is already in use by %s", e.Address, e.Holder.Key)
	case e.KeptFor != "":
		return fmt.Sprintf("address %s is kept for %s until %s", e.Address, e.KeptFor, e.Until.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("address %s is used by another station on the network; it is tried again after %s",
		e.Address, e.Until.UTC().Format(time.RFC3339))
}

// Unwrap returns ErrAddressInUse.
func (e *TakenError) Unwrap() error { return ErrAddressInUse }

// state is what an address is to its pool.
type state int

const (
	free state = iota
	assigned
	reserved
	quarantined
	stateCount
)

type poolNamespace struct{ pool, namespace string }

// account is the number of addresses of a pool that are charged to a
// namespace: those it holds, and among them those that are kept for it.
type account struct {
	poolNamespace
	count, kept int
}

// holding is a Holder as the Index keeps it: half the size, for there may be a
// million of them.
type holding struct {
	key     string
	account *account
}

func (h holding) holder() Holder {
	return Holder{Key: h.key, Namespace: h.account.namespace, Pool: h.account.pool}
}

// Index knows what is assigned, reserved and quarantined, and finds what is
// free. It is built from the VirtualIP objects alone: Put for each, before the
// first Pick. Addresses may be put before their pool is known, and stay when it
// goes. Make one with NewIndex; the caller serialises all calls.
type Index struct {
	pools   []*pool          // oldest first
	specs   []PoolSpec       // of pools
	byName  map[string]*pool // the same
	located []located        // the usable ranges of all pools, ascending
	held    map[netip.Addr]holding
	holds   holds
	// accounts counts the held and the kept addresses by the pool they came
	// from and the namespace. None of them is empty.
	accounts map[poolNamespace]*account
	// strayed is, by the pool they came from, the held addresses that are no
	// longer that pool's to hand out.
	strayed map[string]map[netip.Addr]struct{}
	// needs tells whether an owner still needs a reservation that is over, which
	// then goes on for the time of renewal; nil for never.
	needs   func(addr netip.Addr, key string) bool
	renewal time.Duration
}

// NewIndex returns an Index without pools and addresses.
func NewIndex() *Index {
	return &Index{
		byName:   map[string]*pool{},
		held:     map[netip.Addr]holding{},
		holds:    newHolds(),
		accounts: map[poolNamespace]*account{},
		strayed:  map[string]map[netip.Addr]struct{}{},
	}
}

// Take assigns addr to holder, whether or not a pool has it. It fails with a
// *TakenError where another owner holds it, where it is reserved for another,
// or where it is quarantined. An owner may take what it has already.
func (x *Index) Take(addr netip.Addr, holder Holder, now time.Time) error {
	x.Expire(now)
	if err := x.available(addr, holder.Key); err != nil {
		return err
	}
	x.Put(addr, holder)
	return nil
}

// available returns a *TakenError if key cannot have addr.
func (x *Index) available(addr netip.Addr, key string) error {
	if held, ok := x.held[addr]; ok {
		if key == "" || held.key != key {
			return &TakenError{Address: addr, Holder: held.holder()}
		}
		return nil
	}
	if h, ok := x.holds.byAddr[addr]; ok && !h.isFor(key) {
		return &TakenError{Address: addr, KeptFor: strings.Join(h.keys, ", "), Until: h.until}
	}
	return nil
}

// Put records that holder has addr, whoever had it before: what the API server
// says is true. A reservation of addr ends; a quarantine stays for the time
// after the release.
func (x *Index) Put(addr netip.Addr, holder Holder) {
	x.change(addr, func() {
		x.forget(addr)
		x.held[addr] = holding{key: holder.Key, account: x.charge(holder)}
		x.noteStrayed(addr, holder.Pool)
		if !x.holds.byAddr[addr].isQuarantine() {
			x.endHold(addr)
		}
	})
}

// Release ends the assignment of addr and returns who had it. What was not
// assigned is left alone.
func (x *Index) Release(addr netip.Addr) (Holder, bool) {
	holder, ok := x.Holder(addr)
	if ok {
		x.change(addr, func() { x.forget(addr) })
	}
	return holder, ok
}

// Reserve keeps addr for the owners until then: nobody else gets it, and each of
// them gets it before any other. The zero time means until Unreserve. It follows
// Release, and ends a reservation for others. An assigned or quarantined address
// is left alone, and reported by false.
func (x *Index) Reserve(addr netip.Addr, until time.Time, keys ...string) bool {
	if _, ok := x.held[addr]; ok || len(keys) == 0 {
		return false
	}
	if h, ok := x.holds.byAddr[addr]; ok && h.isQuarantine() {
		return false
	}
	x.change(addr, func() { x.setHold(addr, hold{keys: keys, until: until}) })
	return true
}

// Keep is a Release and a Reserve without an end for the one owner, and goes on
// counting addr as one that the namespace has of the pool: or else who gives
// addresses up, and may have them back, has more than the pool allows.
func (x *Index) Keep(addr netip.Addr, owner Holder) bool {
	x.Release(addr)
	if !x.Reserve(addr, time.Time{}, owner.Key) {
		return false
	}
	h := x.holds.byAddr[addr]
	h.charged = x.charge(owner)
	h.charged.kept++
	x.holds.byAddr[addr] = h
	return true
}

// charge counts one address more for the holder's namespace.
func (x *Index) charge(holder Holder) *account {
	at := poolNamespace{holder.Pool, holder.Namespace}
	if x.accounts[at] == nil {
		x.accounts[at] = &account{poolNamespace: at}
	}
	x.accounts[at].count++
	return x.accounts[at]
}

func (x *Index) discharge(from *account) {
	if from.count--; from.count == 0 {
		delete(x.accounts, from.poolNamespace)
	}
}

// setHold replaces the hold of addr.
func (x *Index) setHold(addr netip.Addr, to hold) {
	x.endHold(addr)
	x.holds.set(addr, to)
}

func (x *Index) endHold(addr netip.Addr) {
	if from := x.holds.byAddr[addr].charged; from != nil {
		from.kept--
		x.discharge(from)
	}
	x.holds.drop(addr)
}

// Keeps reports whether addr is reserved for an owner.
func (x *Index) Keeps(addr netip.Addr, key string, now time.Time) bool {
	x.Expire(now)
	return x.holds.byAddr[addr].isFor(key)
}

// Unreserve ends a reservation of addr. A quarantine stays.
func (x *Index) Unreserve(addr netip.Addr) {
	if h, ok := x.holds.byAddr[addr]; ok && !h.isQuarantine() {
		x.change(addr, func() { x.endHold(addr) })
	}
}

// Forgo takes an owner off the reservations that have an end. One that is for
// nobody else ends at the time at the latest.
func (x *Index) Forgo(key string, latest time.Time) {
	for _, addr := range slices.Clone(x.holds.byKey[key]) {
		h := x.holds.byAddr[addr]
		switch {
		case h.until.IsZero():
		case len(h.keys) > 1:
			others := slices.DeleteFunc(slices.Clone(h.keys), func(k string) bool { return k == key })
			x.setHold(addr, hold{keys: others, until: h.until})
		case h.until.After(latest):
			x.setHold(addr, hold{keys: h.keys, until: latest})
		}
	}
}

// Quarantine keeps addr from everybody until then, because a station outside of
// the cluster uses it. An assigned address stays assigned, and is quarantined
// from its release on. A reservation ends; a longer quarantine stays.
func (x *Index) Quarantine(addr netip.Addr, until time.Time) {
	if h, ok := x.holds.byAddr[addr]; ok && h.isQuarantine() && h.until.After(until) {
		return
	}
	x.change(addr, func() { x.setHold(addr, hold{until: until}) })
}

// RenewWhile has a reservation that is over go on for a time, as often as it
// takes, for those of its owners who still need it. The function is called by
// any method of the Index, and must call none.
func (x *Index) RenewWhile(needs func(addr netip.Addr, key string) bool, renewal time.Duration) {
	x.needs, x.renewal = needs, renewal
}

// Expire ends the reservations and quarantines that are over at now, and
// returns when the next one ends: the zero time if there is none.
func (x *Index) Expire(now time.Time) time.Time {
	for {
		addr, until, ok := x.holds.ends.First()
		if !ok || now.Before(until) {
			return until
		}
		if owners := x.needy(addr); len(owners) > 0 {
			x.setHold(addr, hold{keys: owners, until: now.Add(x.renewal)})
			continue
		}
		x.change(addr, func() { x.endHold(addr) })
	}
}

// needy returns the owners of a reservation who still need it.
func (x *Index) needy(addr netip.Addr) []string {
	if x.needs == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(x.holds.byAddr[addr].keys), func(key string) bool { return !x.needs(addr, key) })
}

// Holder returns who holds addr.
func (x *Index) Holder(addr netip.Addr) (Holder, bool) {
	held, ok := x.held[addr]
	if !ok {
		return Holder{}, false
	}
	return held.holder(), true
}

// reservedFor returns the lowest address of p in the range that waits for key.
func (x *Index) reservedFor(p *pool, key string, within Range) (netip.Addr, bool) {
	for _, addr := range x.holds.byKey[key] {
		if _, ok := x.held[addr]; !ok && within.Contains(addr) && p.usable.Contains(addr) {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// change runs a change of one address and accounts for it in the address's
// pool. All changes of held and holds go through it.
func (x *Index) change(addr netip.Addr, mutate func()) {
	p := x.locate(addr)
	if p == nil {
		mutate()
		return
	}
	before := x.state(addr)
	mutate()
	p.note(addr, before, x.state(addr))
}

// forget ends the assignment of addr, if there is one.
func (x *Index) forget(addr netip.Addr) {
	old, ok := x.held[addr]
	if !ok {
		return
	}
	delete(x.held, addr)
	x.discharge(old.account)
	if strays := x.strayed[old.account.pool]; strays != nil {
		if delete(strays, addr); len(strays) == 0 {
			delete(x.strayed, old.account.pool)
		}
	}
}

func (x *Index) state(addr netip.Addr) state {
	if _, ok := x.held[addr]; ok {
		return assigned
	}
	if h, ok := x.holds.byAddr[addr]; !ok {
		return free
	} else if h.isQuarantine() {
		return quarantined
	}
	return reserved
}
