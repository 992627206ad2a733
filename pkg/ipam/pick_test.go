// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/fairlead-io/fairlead/pkg/ipam"
)

func labelled(key, value string) ipam.Selector {
	return func(labels map[string]string) bool { return labels[key] == value }
}

// site is the pools of the Pick tests.
func site(t testing.TB) []ipam.PoolSpec {
	return []ipam.PoolSpec{
		{Name: "office", Addresses: mustRanges(t, "10.0.0.10-10.0.0.12", "fd00::/64"), AutoAssign: true},
		{Name: "big", Addresses: mustRanges(t, "10.8.0.0/16"), AutoAssign: true, Priority: 5, MaxPerNamespace: 2},
		{Name: "lab", Addresses: mustRanges(t, "10.1.0.0/30"), AutoAssign: true, Namespaces: []string{"lab"}},
		{Name: "prod", Addresses: mustRanges(t, "10.2.0.0/30"), AutoAssign: true, NamespaceSelector: labelled("env", "prod")},
		{Name: "web", Addresses: mustRanges(t, "10.3.0.0/30"), AutoAssign: true, Priority: 1, ServiceSelector: labelled("app", "web")},
		{Name: "spare", Addresses: mustRanges(t, "10.4.0.0/24"), Excluded: mustRanges(t, "10.4.0.9"), AvoidEdges: true},
		{Name: "old", Addresses: mustRanges(t, "10.5.0.0/24"), AutoAssign: true, Disabled: true, Priority: 100},
	}
}

func names(specs []ipam.PoolSpec) (all []string) {
	for _, s := range specs {
		all = append(all, s.Name)
	}
	return all
}

func TestSelectOrdersPools(t *testing.T) {
	for _, tc := range []struct {
		name string
		req  ipam.Request
		want []string
	}{
		{"by priority", ipam.Request{Namespace: "x", Family: ipam.IPv4}, []string{"big", "office"}},
		{"selected namespace first", ipam.Request{Namespace: "lab", Family: ipam.IPv4}, []string{"lab", "big", "office"}},
		{"selectors by priority", ipam.Request{
			Namespace: "lab", NamespaceLabels: map[string]string{"env": "prod"},
			ServiceLabels: map[string]string{"app": "web"}, Family: ipam.IPv4,
		}, []string{"web", "lab", "prod", "big", "office"}},
		{
			"named, in the order named",
			ipam.Request{Namespace: "x", Family: ipam.IPv4, Pools: []string{"spare", "lab", "office", "none"}},
			[]string{"spare", "office"},
		},
		{"IPv6", ipam.Request{Namespace: "x", Family: ipam.IPv6}, []string{"office"}},
		{"range", ipam.Request{Namespace: "x", Within: mustRange(t, "10.4.0.4-10.4.0.6")}, []string{"spare"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, refused := ipam.Select(site(t), tc.req)
			if !slices.Equal(names(got), tc.want) {
				t.Errorf("got %v, want %v; refused: %v", names(got), tc.want, refused)
			}
		})
	}
}

// pickTest is one Pick from the pools of the site.
type pickTest struct {
	name  string
	req   ipam.Request
	taken []string // by Services of namespace x
	want  string
	is    error
	text  string
}

func (tc pickTest) run(t *testing.T) {
	x := ipam.NewIndex()
	x.SetPools(site(t), nil)
	for _, addr := range tc.taken {
		pool, _ := x.PoolOf(ip(addr))
		x.Put(ip(addr), ipam.Holder{Key: "x/" + addr, Namespace: "x", Pool: pool})
	}
	got, err := x.Pick(tc.req, time.Unix(1000, 0))
	if !errors.Is(err, tc.is) || tc.text != "" && err.Error() != tc.text {
		t.Fatalf("got error %v, want %v %q", err, tc.is, tc.text)
	}
	if tc.is == nil && got.Address != ip(tc.want) {
		t.Errorf("got %s of pool %s, want %s", got.Address, got.Pool, tc.want)
	}
}

func TestPick(t *testing.T) {
	for _, tc := range []pickTest{
		{name: "lowest of the first pool", req: ipam.Request{Namespace: "x", Family: ipam.IPv4}, want: "10.8.0.0"},
		{
			name: "next pool when the limit is reached", req: ipam.Request{Namespace: "x", Family: ipam.IPv4},
			taken: []string{"10.8.0.0", "10.8.0.1"}, want: "10.0.0.10",
		},
		{
			name: "limit is per namespace", req: ipam.Request{Namespace: "y", Family: ipam.IPv4},
			taken: []string{"10.8.0.0", "10.8.0.1"}, want: "10.8.0.2",
		},
		{
			name: "edges and exclusions are passed over", req: ipam.Request{Namespace: "x", Family: ipam.IPv4, Pools: []string{"spare"}},
			taken: []string{"10.4.0.1", "10.4.0.2", "10.4.0.3", "10.4.0.4", "10.4.0.5", "10.4.0.6", "10.4.0.7", "10.4.0.8"}, want: "10.4.0.10",
		},
		{name: "within a range", req: ipam.Request{Namespace: "x", Within: mustRange(t, "10.8.3.0/24")}, want: "10.8.3.0"},
		{name: "asked for", req: ipam.Request{Namespace: "x", Address: ip("10.4.0.77")}, want: "10.4.0.77"},
		{
			name: "address in use by the Service itself", req: ipam.Request{Key: "x/10.5.0.1", Namespace: "x", Address: ip("10.5.0.1")},
			taken: []string{"10.5.0.1"}, want: "10.5.0.1",
		},
	} {
		t.Run(tc.name, tc.run)
	}
}

func TestPickRefuses(t *testing.T) {
	for _, tc := range []pickTest{
		{
			name: "full", req: ipam.Request{Namespace: "x", Family: ipam.IPv4, Pools: []string{"office"}},
			taken: []string{"10.0.0.10", "10.0.0.11", "10.0.0.12"}, is: ipam.ErrPoolExhausted,
			text: "no IPv4 address can be assigned: pool office: full, 3 of 3 IPv4 addresses assigned",
		},
		{
			name: "limit", req: ipam.Request{Namespace: "x", Family: ipam.IPv4, Pools: []string{"big"}}, taken: []string{"10.8.0.0", "10.8.0.1"},
			is: ipam.ErrNamespaceLimit, text: "no IPv4 address can be assigned: pool big: limit of 2 addresses for namespace x reached",
		},
		{
			name: "not allowed", req: ipam.Request{Namespace: "x", Family: ipam.IPv4, Pools: []string{"lab"}},
			is: ipam.ErrNotAllowed, text: "no IPv4 address can be assigned: pool lab: namespace x not allowed",
		},
		{
			name: "disabled", req: ipam.Request{Namespace: "x", Family: ipam.IPv4, Pools: []string{"old"}},
			is: ipam.ErrNotAllowed, text: "no IPv4 address can be assigned: pool old: disabled, it hands out no addresses",
		},
		{
			name: "unknown pool", req: ipam.Request{Namespace: "x", Family: ipam.IPv6, Pools: []string{"none"}},
			is: ipam.ErrNoPool, text: "no IPv6 address can be assigned: pool none: does not exist",
		},
		{
			name: "range full", req: ipam.Request{Namespace: "y", Within: mustRange(t, "10.8.0.0/31")}, taken: []string{"10.8.0.0", "10.8.0.1"},
			is: ipam.ErrPoolExhausted,
		},
		{name: "range in no pool", req: ipam.Request{Namespace: "x", Within: mustRange(t, "10.8.255.0-10.9.0.7")}, is: ipam.ErrAddressOutsidePools},
		{
			name: "address in no pool", req: ipam.Request{Namespace: "x", Address: ip("192.0.2.1")},
			is: ipam.ErrAddressOutsidePools, text: "address 192.0.2.1 cannot be assigned: no pool has it",
		},
		{
			name: "address excluded", req: ipam.Request{Namespace: "x", Address: ip("10.4.0.9")},
			is: ipam.ErrAddressOutsidePools, text: "address 10.4.0.9 cannot be assigned: pool spare: 10.4.0.9 is not an address it hands out",
		},
		{
			name: "address of another pool than named", req: ipam.Request{Namespace: "x", Address: ip("10.8.0.9"), Pools: []string{"office"}},
			is: ipam.ErrAddressOutsidePools,
		},
		{name: "address not for the namespace", req: ipam.Request{Namespace: "x", Address: ip("10.1.0.1")}, is: ipam.ErrNotAllowed},
		{
			name: "address in use", req: ipam.Request{Key: "x/new", Namespace: "x", Address: ip("10.0.0.11")}, taken: []string{"10.0.0.11"},
			is: ipam.ErrAddressInUse, text: "address 10.0.0.11 is already in use by x/10.0.0.11",
		},
	} {
		t.Run(tc.name, tc.run)
	}
}

func TestNoPoolOffersTheFamily(t *testing.T) {
	x := ipam.NewIndex()
	x.SetPools([]ipam.PoolSpec{{Name: "four", Addresses: mustRanges(t, "10.0.0.0/24"), AutoAssign: true}}, nil)
	_, err := x.Pick(ipam.Request{Family: ipam.IPv6}, time.Unix(0, 0))
	if !errors.Is(err, ipam.ErrNoPool) || err.Error() != "no pool offers IPv6 addresses: an AddressPool that does is needed" {
		t.Errorf("got %v", err)
	}
}

func TestReleasedAddressWaitsForItsService(t *testing.T) {
	x, now := ipam.NewIndex(), time.Unix(1000, 0)
	x.SetPools(site(t), nil)
	addr, until := ip("10.0.0.11"), now.Add(time.Minute)
	x.Put(addr, ipam.Holder{Key: "x/web", Namespace: "x", Pool: "office"})
	x.Release(addr)
	x.Reserve(addr, until, "x/web", "x/api")

	// Pool big is preferred, but the Service gets its own address back.
	for _, key := range []string{"x/web", "x/api"} {
		req := ipam.Request{Key: key, Namespace: "x", Family: ipam.IPv4}
		if got, err := x.Pick(req, now); err != nil || got.Address != addr {
			t.Errorf("%s, which had it: got %v, %v, want %s", key, got, err, addr)
		}
	}
	other := ipam.Request{Key: "x/other", Namespace: "x", Address: addr}
	var taken *ipam.TakenError
	if _, err := x.Pick(other, until.Add(-1)); !errors.As(err, &taken) || taken.KeptFor != "x/web, x/api" {
		t.Errorf("another Service before the end: got %v", err)
	}
	if next := x.Expire(now); !next.Equal(until) {
		t.Errorf("the next end is %s, want %s", next, until)
	}
	if got, err := x.Pick(other, until); err != nil || got.Address != addr {
		t.Errorf("another Service at the end: got %v, %v", got, err)
	}
}

func TestOwnersForgoWhatIsKeptForThem(t *testing.T) {
	x, now := ipam.NewIndex(), time.Unix(1000, 0)
	x.SetPools(site(t), nil)
	soon, later := now.Add(time.Second), now.Add(time.Minute)
	for _, test := range []struct {
		name string
		addr string
		end  time.Time
		keys []string
		kept map[time.Time]string // for whom, at each time
	}{
		{"one owner", "10.0.0.11", later, []string{"x/a"}, map[time.Time]string{now: "x/a", soon: ""}},
		{"one owner, sooner", "10.0.0.12", now.Add(1), []string{"x/a"}, map[time.Time]string{now: "x/a", now.Add(1): ""}},
		{"two owners", "10.0.0.13", later, []string{"x/a", "x/b"}, map[time.Time]string{now: "x/b", soon: "x/b", later: ""}},
		{"another owner", "10.0.0.14", later, []string{"x/c"}, map[time.Time]string{now: "x/c", soon: "x/c", later: ""}},
		{"without an end", "10.0.0.15", time.Time{}, []string{"x/a"}, map[time.Time]string{now: "x/a", later: "x/a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			x.Reserve(ip(test.addr), test.end, test.keys...)
			x.Forgo("x/a", soon)
			for _, at := range slices.SortedFunc(maps.Keys(test.kept), time.Time.Compare) {
				_, err := x.Pick(ipam.Request{Key: "x/other", Namespace: "x", Address: ip(test.addr)}, at)
				var taken *ipam.TakenError
				if errors.As(err, &taken) != (test.kept[at] != "") || taken != nil && taken.KeptFor != test.kept[at] {
					t.Errorf("at %s: got %v, want it kept for %q", at, err, test.kept[at])
				}
			}
		})
	}
}

func TestOverlapGoesToTheOlderPool(t *testing.T) {
	x := ipam.NewIndex()
	young := ipam.PoolSpec{Name: "a", Created: time.Unix(2, 0), Addresses: mustRanges(t, "10.0.0.0/30")}
	old := ipam.PoolSpec{Name: "b", Created: time.Unix(1, 0), Addresses: mustRanges(t, "10.0.0.2-10.0.0.9")}
	got := x.SetPools([]ipam.PoolSpec{young, old}, []ipam.Node{{Name: "n1", Address: ip("10.0.0.1")}})
	want := []ipam.Overlap{
		{Pool: "a", Range: mustRange(t, "10.0.0.2/31"), Winner: "b"},
		{Pool: "a", Range: mustRange(t, "10.0.0.1"), Node: "n1"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for addr, pool := range map[string]string{"10.0.0.0": "a", "10.0.0.1": "", "10.0.0.2": "b", "10.0.0.9": "b"} {
		if got, _ := x.PoolOf(ip(addr)); got != pool {
			t.Errorf("%s belongs to %q, want %q", addr, got, pool)
		}
	}
	if got := x.SetPools([]ipam.PoolSpec{young}, nil); len(got) != 0 {
		t.Errorf("overlaps of a pool alone: %v", got)
	}
	if got, _ := x.PoolOf(ip("10.0.0.2")); got != "a" {
		t.Errorf("after the older pool is deleted its part belongs to %q", got)
	}
}

// TestOneMayHaveBackWhatCounts: what is kept for a Service is within the limit of its namespace, which it fills.
func TestOneMayHaveBackWhatCounts(t *testing.T) {
	now := time.Unix(1000, 0)
	x := ipam.NewIndex()
	x.SetPools([]ipam.PoolSpec{{Name: "p", Addresses: mustRanges(t, "10.0.0.1-10.0.0.9"), AutoAssign: true, MaxPerNamespace: 1}}, nil)
	x.Keep(ip("10.0.0.4"), ipam.Holder{Key: "x/a", Namespace: "x", Pool: "p"})
	for _, test := range []struct {
		name string
		req  ipam.Request
		want string
	}{
		{"its own", ipam.Request{Key: "x/a", Namespace: "x", Family: ipam.IPv4}, "10.0.0.4"},
		{"its own, by address", ipam.Request{Key: "x/a", Namespace: "x", Address: ip("10.0.0.4")}, "10.0.0.4"},
		{"another one, by address", ipam.Request{Key: "x/a", Namespace: "x", Address: ip("10.0.0.5")}, ""},
		{"another Service", ipam.Request{Key: "x/b", Namespace: "x", Family: ipam.IPv4}, ""},
		{"another namespace", ipam.Request{Key: "y/a", Namespace: "y", Family: ipam.IPv4}, "10.0.0.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := x.Pick(test.req, now)
			if test.want == "" {
				if !errors.Is(err, ipam.ErrNamespaceLimit) {
					t.Errorf("got %v and error %v, want the limit", got, err)
				}
				return
			}
			if err != nil || got.Address != ip(test.want) {
				t.Errorf("got %v and error %v, want %s", got, err, test.want)
			}
		})
	}
}

// TestAReservationGoesOnForThoseWhoNeedIt: for as long as they do, and for nobody else.
func TestAReservationGoesOnForThoseWhoNeedIt(t *testing.T) {
	now := time.Unix(1000, 0)
	x := ipam.NewIndex()
	needy := map[string]bool{"x/a": true}
	x.RenewWhile(func(_ netip.Addr, key string) bool { return needy[key] }, time.Minute)
	x.Reserve(ip("10.0.0.1"), now.Add(time.Second), "x/a", "x/b")
	for range 3 {
		now = now.Add(time.Hour)
		if next := x.Expire(now); !next.Equal(now.Add(time.Minute)) {
			t.Errorf("at %s it ends at %s, want a minute later", now, next)
		}
		if !x.Keeps(ip("10.0.0.1"), "x/a", now) || x.Keeps(ip("10.0.0.1"), "x/b", now) {
			t.Error("it is not kept for x/a alone")
		}
	}
	clear(needy)
	if next := x.Expire(now.Add(time.Minute)); !next.IsZero() || x.Keeps(ip("10.0.0.1"), "x/a", now) {
		t.Errorf("nobody needs it, and it ends at %s", next)
	}
}
