// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fairlead-io/fairlead/pkg/ipam"
)

// model is the naive Index: every address by itself, searched from the first.
type model struct {
	all     []netip.Addr
	pools   []ipam.PoolSpec // oldest first
	nodes   []ipam.Node
	holders map[netip.Addr]ipam.Holder
	kept    map[netip.Addr][]string // nobody is a quarantine
	until   map[netip.Addr]time.Time
	charged map[netip.Addr]ipam.Holder // of those kept without an end
}

func (m *model) poolOf(addr netip.Addr) string {
	for _, n := range m.nodes {
		if n.Address == addr {
			return ""
		}
	}
	for _, p := range m.pools {
		if inAny(p.Addresses, addr) && !inAny(p.Excluded, addr) {
			if p.AvoidEdges && isEdge(addr) {
				return ""
			}
			return p.Name
		}
	}
	return ""
}

func (m *model) expire(now time.Time) {
	for addr, until := range m.until {
		if !now.Before(until) {
			delete(m.until, addr)
			delete(m.kept, addr)
		}
	}
}

// free reports whether key can have addr: 2 if it waits for key, 1 if for all.
func (m *model) free(addr netip.Addr, key string) int {
	if _, ok := m.holders[addr]; ok {
		return 0
	}
	keys, ok := m.kept[addr]
	switch {
	case !ok:
		return 1
	case slices.Contains(keys, key):
		return 2
	}
	return 0
}

func (m *model) lowest(pool, key string, within ipam.Range) (found netip.Addr) {
	best := 0
	for _, addr := range m.all {
		if m.poolOf(addr) == pool && within.Contains(addr) && m.free(addr, key) > best {
			found, best = addr, m.free(addr, key)
		}
	}
	return found
}

func (m *model) drop(addr netip.Addr) {
	delete(m.kept, addr)
	delete(m.until, addr)
	delete(m.charged, addr)
}

func drawPools(t *rapid.T, all []netip.Addr) []ipam.PoolSpec {
	var specs []ipam.PoolSpec
	for _, name := range []string{"a", "b", "c"}[:rapid.IntRange(0, 3).Draw(t, "pools")] {
		specs = append(specs, ipam.PoolSpec{
			Name:       name,
			Created:    time.Unix(int64(rapid.IntRange(0, 2).Draw(t, "created")), 0),
			Addresses:  drawRanges(t, all, "addresses"),
			Excluded:   drawRanges(t, all, "excluded"),
			AvoidEdges: rapid.Bool().Draw(t, "edges"),
			AutoAssign: true,
		})
	}
	return specs
}

// modelUniverse is small, so that pools run full.
func modelUniverse() []netip.Addr {
	var all []netip.Addr
	for addr := ip("10.0.0.250"); addr.Less(ip("10.0.1.6")); addr = addr.Next() {
		all = append(all, addr)
	}
	for addr := ip("fd00::"); addr.Less(ip("fd00::6")); addr = addr.Next() {
		all = append(all, addr)
	}
	return all
}

// machine runs an Index and its model side by side.
type machine struct {
	*model
	x   *ipam.Index
	now time.Time
}

func TestIndexAgainstModel(t *testing.T) {
	all := modelUniverse()
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{
			model: &model{
				all: all, holders: map[netip.Addr]ipam.Holder{},
				kept: map[netip.Addr][]string{}, until: map[netip.Addr]time.Time{}, charged: map[netip.Addr]ipam.Holder{},
			},
			x:   ipam.NewIndex(),
			now: time.Unix(1000, 0),
		}
		t.Repeat(map[string]func(*rapid.T){
			"pools":      m.setPools,
			"time":       m.pass,
			"pick":       m.pick,
			"take":       m.take,
			"release":    m.release,
			"reserve":    m.reserve,
			"keep":       m.keep,
			"unreserve":  m.unreserve,
			"quarantine": m.quarantine,
			"":           func(t *rapid.T) { m.compare(t, m.x) },
		})
	})
}

func (m *machine) drawAddress(t *rapid.T) netip.Addr {
	return rapid.SampledFrom(m.all).Draw(t, "address")
}

func drawKey(t *rapid.T) string {
	return rapid.SampledFrom([]string{"n/a", "n/b", "o/c"}).Draw(t, "key")
}

func (m *machine) drawLater(t *rapid.T) time.Time {
	return m.now.Add(time.Duration(rapid.IntRange(1, 5).Draw(t, "seconds")) * time.Second)
}

func (m *machine) setPools(t *rapid.T) {
	specs := drawPools(t, m.all)
	m.nodes = nil
	if rapid.Bool().Draw(t, "node") {
		m.nodes = []ipam.Node{{Name: "n1", Address: m.drawAddress(t)}}
	}
	m.x.SetPools(specs, m.nodes)
	slices.SortStableFunc(specs, func(a, b ipam.PoolSpec) int { return a.Created.Compare(b.Created) })
	m.pools = specs
}

func (m *machine) pass(t *rapid.T) {
	m.now = m.drawLater(t)
	m.x.Expire(m.now)
	m.expire(m.now)
}

// pick asks one pool: nothing but addresses decides then.
func (m *machine) pick(t *rapid.T) {
	key, pool := drawKey(t), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "pool")
	family := rapid.SampledFrom([]ipam.Family{ipam.IPv4, ipam.IPv6}).Draw(t, "family")
	got, err := m.x.Pick(ipam.Request{Key: key, Namespace: key[:1], Family: family, Pools: []string{pool}}, m.now)
	want := ipam.Choice{Address: m.lowest(pool, key, family.Range()), Pool: pool}
	if !want.Address.IsValid() {
		want = ipam.Choice{}
	}
	if got != want || (err == nil) != want.Address.IsValid() {
		t.Fatalf("pick of %s in %s for %s: got %v and error %v, want %v", family, pool, key, got, err, want)
	}
}

func (m *machine) take(t *rapid.T) {
	addr, key := m.drawAddress(t), drawKey(t)
	h := ipam.Holder{Key: key, Namespace: key[:1], Pool: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "pool")}
	want := m.free(addr, h.Key) > 0 || m.holders[addr].Key == h.Key
	err := m.x.Take(addr, h, m.now)
	if (err == nil) != want || err != nil && !errors.Is(err, ipam.ErrAddressInUse) {
		t.Fatalf("take %s for %s: %v, want success %t", addr, h.Key, err, want)
	}
	if want {
		m.holders[addr] = h
		if len(m.kept[addr]) > 0 { // a quarantine stays for the time after the release
			m.drop(addr)
		}
	}
}

func (m *machine) release(t *rapid.T) {
	addr := m.drawAddress(t)
	if got, _ := m.x.Release(addr); got != m.holders[addr] {
		t.Fatalf("released %s of %v, want %v", addr, got, m.holders[addr])
	}
	delete(m.holders, addr)
}

func (m *machine) reserve(t *rapid.T) {
	addr, until := m.drawAddress(t), m.drawLater(t)
	keys := rapid.SliceOfNDistinct(rapid.Custom(drawKey), 1, 2, rapid.ID[string]).Draw(t, "keys")
	_, isHeld := m.holders[addr]
	if kept, ok := m.kept[addr]; m.x.Reserve(addr, until, keys...) {
		if isHeld || ok && len(kept) == 0 {
			t.Fatalf("reserved %s, which is held or quarantined", addr)
		}
		m.drop(addr)
		m.kept[addr], m.until[addr] = keys, until
	}
}

func (m *machine) keep(t *rapid.T) {
	addr, key := m.drawAddress(t), drawKey(t)
	h := ipam.Holder{Key: key, Namespace: key[:1], Pool: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "pool")}
	delete(m.holders, addr)
	if kept, ok := m.kept[addr]; m.x.Keep(addr, h) {
		if ok && len(kept) == 0 {
			t.Fatalf("kept %s, which is quarantined", addr)
		}
		m.drop(addr)
		m.kept[addr], m.charged[addr] = []string{key}, h
	}
}

func (m *machine) unreserve(t *rapid.T) {
	addr := m.drawAddress(t)
	m.x.Unreserve(addr)
	if len(m.kept[addr]) > 0 {
		m.drop(addr)
	}
}

func (m *machine) quarantine(t *rapid.T) {
	addr, until := m.drawAddress(t), m.drawLater(t)
	m.x.Quarantine(addr, until)
	if keys, ok := m.kept[addr]; !ok || len(keys) > 0 || m.until[addr].Before(until) {
		m.drop(addr)
		m.kept[addr], m.until[addr] = nil, until
	}
}

func mustParse(text string) ipam.Range {
	r, err := ipam.ParseRange(text)
	if err != nil {
		panic(err)
	}
	return r
}

// compare checks every count and every assignment of the Index.
func (m *model) compare(t *rapid.T, x *ipam.Index) {
	type family struct {
		pool string
		ipam.Family
	}
	want, capacity := map[family]ipam.Usage{}, map[family]uint64{}
	perNamespace, outside := map[[2]string]int{}, map[string][]ipam.Outside{}
	for _, addr := range m.all {
		pool := m.poolOf(addr)
		if got, _ := x.PoolOf(addr); got != pool {
			t.Fatalf("%s is in pool %q, want %q", addr, got, pool)
		}
		at := family{pool, ipam.FamilyOf(addr)}
		u := want[at]
		capacity[at]++
		holder, isHeld := m.holders[addr]
		if keys, isKept := m.kept[addr]; isHeld {
			u.Assigned++
		} else if isKept && len(keys) == 0 {
			u.Quarantined++
		} else if isKept {
			u.Reserved++
		}
		want[at] = u
		if charged, ok := m.charged[addr]; ok {
			perNamespace[[2]string{charged.Pool, charged.Namespace}]++
		}
		if !isHeld {
			continue
		}
		perNamespace[[2]string{holder.Pool, holder.Namespace}]++
		if holder.Pool != pool {
			outside[holder.Pool] = append(outside[holder.Pool], ipam.Outside{Address: addr, Holder: holder})
		}
	}
	for _, pool := range []string{"a", "b", "c"} {
		for _, f := range []ipam.Family{ipam.IPv4, ipam.IPv6} {
			u := want[family{pool, f}]
			n := capacity[family{pool, f}]
			u.Capacity, u.Free = ipam.SizeFrom(n), ipam.SizeFrom(n-u.Assigned-u.Reserved-u.Quarantined)
			if got := x.Usage(pool, f); got != u {
				t.Fatalf("usage of %s: got %+v, want %+v", pool, got, u)
			}
		}
		if got := x.Outside(pool); !slices.Equal(got, outside[pool]) {
			t.Fatalf("outside of %s: got %v, want %v", pool, got, outside[pool])
		}
		for _, ns := range []string{"n", "o"} {
			if got := x.InNamespace(pool, ns); got != perNamespace[[2]string{pool, ns}] {
				t.Fatalf("namespace %s has %d of %s, want %d", ns, got, pool, perNamespace[[2]string{pool, ns}])
			}
		}
	}
}
