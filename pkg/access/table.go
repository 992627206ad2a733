// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"sigs.k8s.io/knftables"
)

// tableName is the table's in the family inet.
const tableName = "fairlead"

// Table is the kernel's table of the network namespace that the calling thread is in. Its methods may be called at the
// same time. It needs CAP_NET_ADMIN and the program nft.
type Table struct {
	mu      sync.Mutex
	nft     knftables.Interface // nil until it could be opened
	open    func() (knftables.Interface, error)
	applied map[string]Entry // by name; nil while it is not known what the kernel has
}

// New returns the table, which it does not look at yet: what is in it stays until the first Apply.
func New() *Table {
	return &Table{open: func() (knftables.Interface, error) { return knftables.New(knftables.InetFamily, tableName) }}
}

// Apply makes the rules those of the entries, all at once. On an error they are what they were, or, if nft was
// interrupted, either the old or the new ones; the next Apply writes all of them.
func (t *Table) Apply(ctx context.Context, entries []Entry) error {
	want, err := normalized(entries)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.opened(); err != nil {
		return err
	}
	tx := t.nft.NewTransaction()
	switch {
	case t.applied == nil || len(want) == 0 || len(t.applied) == 0:
		if t.applied != nil && len(want) == 0 && len(t.applied) == 0 {
			return nil
		}
		replace(tx, want)
	default:
		change(tx, t.applied, want)
	}
	if tx.NumOperations() == 0 {
		return nil
	}
	if err := t.nft.Run(ctx, tx); err != nil {
		t.applied = nil
		return fmt.Errorf("writing the nftables table %s: %w", tableName, err)
	}
	t.applied = want
	return nil
}

// normalized returns the entries that refuse somebody, by name.
func normalized(entries []Entry) (map[string]Entry, error) {
	want := make(map[string]Entry, len(entries))
	for _, e := range entries {
		n, err := e.normal()
		if err != nil {
			return nil, err
		}
		if !n.idle() {
			want[n.Name] = n
		}
	}
	return want, nil
}

func (t *Table) opened() error {
	if t.nft != nil {
		return nil
	}
	nft, err := t.open()
	if err != nil {
		return fmt.Errorf("nftables cannot be used: %w", err)
	}
	t.nft = nft
	return nil
}

// Intact looks whether the kernel still has as many rules as were applied: somebody may have flushed all tables. If not,
// the next Apply writes everything. Before the first Apply it returns true.
func (t *Table) Intact(ctx context.Context) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.applied) == 0 {
		return true, nil
	}
	want := len(dispatchRules())
	for _, e := range t.applied {
		want += len(entryRules(e))
	}
	rules, err := t.nft.ListRules(ctx, "")
	if err != nil && !knftables.IsNotFound(err) {
		return false, fmt.Errorf("reading the nftables table %s: %w", tableName, err)
	}
	if len(rules) == want {
		return true, nil
	}
	t.applied = nil
	return false, nil
}

// Refused returns how many packets each entry has refused since it came into the table, by name.
func (t *Table) Refused(ctx context.Context) (map[string]uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[string]uint64{}
	if len(t.applied) == 0 {
		return out, nil
	}
	counters, err := t.nft.ListCounters(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the counters of the nftables table %s: %w", tableName, err)
	}
	names := map[string]string{}
	for name := range t.applied {
		names[counterName(name)] = name
	}
	for _, c := range counters {
		if name, ok := names[c.Name]; ok && c.Packets != nil {
			out[name] = *c.Packets
		}
	}
	return out, nil
}

// Remove takes the table out of the kernel, whoever has put it there.
func (t *Table) Remove(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.opened(); err != nil {
		return err
	}
	tx := t.nft.NewTransaction()
	replace(tx, nil)
	if err := t.nft.Run(ctx, tx); err != nil {
		return fmt.Errorf("removing the nftables table %s: %w", tableName, err)
	}
	t.applied = map[string]Entry{}
	return nil
}

// replace writes the table anew, or none if there are no entries.
func replace(tx *knftables.Transaction, want map[string]Entry) {
	// Deleting what is not there is an error, adding what is there is none.
	tx.Add(&knftables.Table{})
	tx.Delete(&knftables.Table{})
	if len(want) == 0 {
		return
	}
	tx.Add(&knftables.Table{})
	addDispatch(tx)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		addEntry(tx, want[name])
	}
}

// change goes from what is in the table to what should be.
func change(tx *knftables.Transaction, have, want map[string]Entry) {
	// Ports may go from one entry to another: all are taken away before any is given.
	for _, name := range slices.Sorted(maps.Keys(have)) {
		deletePorts(tx, have[name], want[name])
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		old, known := have[name]
		switch e := want[name]; {
		case !known:
			addEntry(tx, e)
			continue
		case !old.same(e) || old.Address != e.Address:
			tx.Flush(&knftables.Chain{Name: chainName(name)})
			addRules(tx, e)
			fallthrough
		default:
			addPorts(tx, e, old)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, stays := want[name]; !stays {
			tx.Delete(&knftables.Chain{Name: chainName(name)})
			tx.Delete(&knftables.Counter{Name: counterName(name)})
		}
	}
}
