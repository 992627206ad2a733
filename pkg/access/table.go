// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
)

// tableName is the table's in the family inet, baseChain that of the chain at the hook.
const tableName, baseChain = "fairlead", "prerouting"

// socketBuffer is the most that a transaction may take on its way to the kernel, and that the kernel's answers, one to each
// message, may take on their way back, in bytes. It is a limit: memory is taken for what is there.
const socketBuffer = 64 << 20

// Table is the kernel's table of the network namespace that the calling thread is in. Its methods may be called at the
// same time. It needs CAP_NET_ADMIN. The deadline of a context holds for what is read from the kernel; a transaction that
// has been handed over is carried out.
type Table struct {
	mu      sync.Mutex
	applied map[string]Entry // by name; nil while it is not known what the kernel has
}

// New returns the table, which it does not look at yet: what is in it stays until the first Apply.
func New() *Table { return &Table{} }

// Apply makes the rules those of the entries, all at once. On an error they are what they were, or, if the kernel's answer
// was not waited for, either the old or the new ones; the next Apply writes all of them.
func (t *Table) Apply(ctx context.Context, entries []Entry) error {
	want, err := normalized(entries)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.applied != nil && len(want) == 0 && len(t.applied) == 0 {
		return nil
	}
	conn, err := dial(ctx)
	if err != nil {
		return err
	}
	defer conn.CloseLasting() //nolint:errcheck // it is done with
	b := newBatch(conn)
	if len(want) == 0 || len(t.applied) == 0 {
		b.replace(want)
	} else {
		b.change(t.applied, want)
	}
	if err := b.run(); err != nil {
		t.applied = nil
		return fmt.Errorf("writing the nftables table %s: %w", tableName, err)
	}
	t.applied = want
	return nil
}

// dial opens a socket for one task: it is in the namespace of the calling thread.
func dial(ctx context.Context) (*nftables.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		if err := c.SetWriteBuffer(socketBuffer); err != nil {
			return err
		}
		if err := c.SetReadBuffer(socketBuffer); err != nil {
			return err
		}
		deadline, _ := ctx.Deadline()
		return c.SetDeadline(deadline)
	}))
	if err != nil {
		return nil, fmt.Errorf("nftables cannot be used: %w", err)
	}
	return conn, nil
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

// Intact looks whether the kernel still has as many rules, and as many ways to them, as were applied: somebody may have
// flushed all tables. If not, the next Apply writes everything. Before the first Apply it returns true.
func (t *Table) Intact(ctx context.Context) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.applied) == 0 {
		return true, nil
	}
	conn, err := dial(ctx)
	if err != nil {
		return false, err
	}
	defer conn.CloseLasting() //nolint:errcheck // it is done with
	intact, err := complete(conn, t.applied)
	if err != nil {
		return false, fmt.Errorf("reading the nftables table %s: %w", tableName, err)
	}
	if !intact {
		t.applied = nil
	}
	return intact, nil
}

// complete counts what the kernel has of the entries.
func complete(conn *nftables.Conn, entries map[string]Entry) (bool, error) {
	rules, ways := map[string]int{baseChain: len(families())}, map[string]int{}
	for name, e := range entries {
		rules[chainName(name)] = len(entryRules(e))
		ways[familyOf(e.Address).services] += len(e.Ports)
	}
	for chain, want := range rules {
		got, err := conn.GetRules(theTable(), &nftables.Chain{Name: chain})
		if err != nil || len(got) != want {
			return false, err
		}
	}
	for _, f := range families() {
		got, err := conn.GetSetElements(f.ways())
		if err != nil || len(got) != ways[f.services] {
			return false, err
		}
	}
	return true, nil
}

// Refused returns how many packets each entry has refused since it came into the table, by name.
func (t *Table) Refused(ctx context.Context) (map[string]uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[string]uint64{}
	if len(t.applied) == 0 {
		return out, nil
	}
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.CloseLasting() //nolint:errcheck // it is done with
	objects, err := conn.GetNamedObjects(theTable())
	if err != nil {
		return nil, fmt.Errorf("reading the counters of the nftables table %s: %w", tableName, err)
	}
	names := map[string]string{}
	for name := range t.applied {
		names[counterName(name)] = name
	}
	for _, o := range objects {
		object, named := o.(*nftables.NamedObj)
		if !named {
			continue
		}
		name, ok := names[object.Name]
		if counter, is := object.Obj.(*expr.Counter); ok && is {
			out[name] = counter.Packets
		}
	}
	return out, nil
}
