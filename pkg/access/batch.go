// SPDX-License-Identifier: Apache-2.0

package access

import (
	"errors"
	"maps"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// priority comes after connection tracking (-200) and before kube-proxy's own filter of load balancer addresses (-110) and
// the translation of destinations (-100).
const priority = -120

// mostElements is how many elements of a set go into one message: an attribute of netlink is at most 64 KiB.
const mostElements = 500

// batch is one transaction. The first error stays.
type batch struct {
	conn  *nftables.Conn
	table *nftables.Table
	sets  uint32 // how many were added; a batch numbers its own
	err   error
}

func newBatch(conn *nftables.Conn) *batch { return &batch{conn: conn, table: theTable()} }

func theTable() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
}

// run has the kernel do all of it, or, on an error, nothing.
func (b *batch) run() error {
	if b.err != nil {
		return b.err
	}
	return b.conn.Flush()
}

// replace writes the table anew, or none if there are no entries.
func (b *batch) replace(want map[string]Entry) {
	// Deleting what is not there is an error, adding what is there is none.
	b.conn.AddTable(b.table)
	b.conn.DelTable(b.table)
	if len(want) == 0 {
		return
	}
	b.conn.AddTable(b.table)
	chain := b.conn.AddChain(&nftables.Chain{
		Table: b.table, Name: baseChain, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(priority),
	})
	for _, f := range families() {
		b.addSet(f.ways(), nil)
		b.conn.AddRule(&nftables.Rule{Table: b.table, Chain: chain, Exprs: f.dispatch()})
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		b.addEntry(want[name])
	}
}

// change goes from what is in the table to what should be.
func (b *batch) change(have, want map[string]Entry) {
	// Ports may go from one entry to another: all are taken away before any is given.
	for _, name := range slices.Sorted(maps.Keys(have)) {
		b.deletePorts(have[name], want[name])
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		old, known := have[name]
		switch e := want[name]; {
		case !known:
			b.addEntry(e)
			continue
		case !old.same(e) || old.Address != e.Address:
			b.clear(old)
			b.addRules(e)
			fallthrough
		default:
			b.addPorts(e, old)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, stays := want[name]; !stays {
			b.clear(have[name])
			b.conn.DelChain(b.chain(have[name]))
			b.conn.DeleteObject(b.counter(have[name]))
		}
	}
}

// addEntry adds what an entry has: a counter, a chain with its rules, and the way there from each port.
func (b *batch) addEntry(e Entry) {
	b.conn.AddObj(b.counter(e))
	b.conn.AddChain(b.chain(e))
	b.addRules(e)
	b.addPorts(e, Entry{})
}

// addRules adds an entry's rules and the sets they look into.
func (b *batch) addRules(e Entry) {
	for _, s := range b.sources(e) {
		b.addSet(s.set, s.elements)
	}
	for _, rule := range entryRules(e) {
		b.conn.AddRule(&nftables.Rule{Table: b.table, Chain: b.chain(e), Exprs: rule, UserData: comment(e.Name)})
	}
}

// clear takes away what addRules has added.
func (b *batch) clear(e Entry) {
	b.conn.FlushChain(b.chain(e))
	for _, s := range b.sources(e) {
		b.conn.DelSet(s.set)
	}
}

// addPorts leads the ports that old does not have to the entry's chain, deletePorts takes away those that next has no
// more.
func (b *batch) addPorts(e, old Entry) {
	b.eachPart(familyOf(e.Address).ways(), b.ways(e, old), b.conn.SetAddElements)
}

func (b *batch) deletePorts(e, next Entry) {
	b.eachPart(familyOf(e.Address).ways(), b.ways(e, next), b.conn.SetDeleteElements)
}

// ways are the elements for the ports that an entry has and another has not.
func (b *batch) ways(e, other Entry) []nftables.SetElement {
	ports := slices.DeleteFunc(slices.Clone(e.Ports), func(p Port) bool {
		return other.Address == e.Address && slices.Contains(other.Ports, p)
	})
	elements, err := ways(e, ports)
	b.err = errors.Join(b.err, err)
	return elements
}

func (b *batch) addSet(set *nftables.Set, elements []nftables.SetElement) {
	b.sets++
	set.ID = b.sets // else the library counts, without a lock between connections
	b.err = errors.Join(b.err, b.conn.AddSet(set, nil))
	b.eachPart(set, elements, b.conn.SetAddElements)
}

// eachPart does something with as many elements at a time as go into a message.
func (b *batch) eachPart(set *nftables.Set, elements []nftables.SetElement, do func(*nftables.Set, []nftables.SetElement) error) {
	for part := range slices.Chunk(elements, mostElements) {
		b.err = errors.Join(b.err, do(set, part))
	}
}

// content is a set and what is in it.
type content struct {
	set      *nftables.Set
	elements []nftables.SetElement
}

// sources are the sets that the rules of an entry look into. They are constant: while a rule does, the kernel lets nobody
// change them.
func (b *batch) sources(e Entry) []content {
	var out []content
	add := func(name string, elements []nftables.SetElement) {
		out = append(out, content{
			&nftables.Set{Table: b.table, Name: name, KeyType: familyOf(e.Address).address, Interval: true, Constant: true}, elements,
		})
	}
	if len(e.Denied) > 0 {
		add(deniedName(e.Name), intervals(e.Denied))
	}
	if len(e.Allowed) > 0 {
		add(allowedName(e.Name), intervals(e.Allowed))
	}
	return out
}

func (b *batch) chain(e Entry) *nftables.Chain {
	return &nftables.Chain{Table: b.table, Name: chainName(e.Name)}
}

func (b *batch) counter(e Entry) *nftables.NamedObj {
	return &nftables.NamedObj{Table: b.table, Name: counterName(e.Name), Type: nftables.ObjTypeCounter, Obj: &expr.Counter{}}
}
