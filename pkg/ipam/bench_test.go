// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"net/netip"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/fairlead-io/fairlead/pkg/ipam"
)

func benchIndex(b *testing.B, addresses string) (*ipam.Index, ipam.Request, time.Time) {
	b.Helper()
	x := ipam.NewIndex()
	r := mustRange(b, addresses)
	x.SetPools([]ipam.PoolSpec{{Name: "p", Addresses: []ipam.Range{r}, AutoAssign: true, AvoidEdges: true}}, nil)
	return x, ipam.Request{Key: "bench/web", Namespace: "bench", Family: r.Family()}, time.Unix(1000, 0)
}

func claim(b *testing.B, x *ipam.Index, req ipam.Request, now time.Time) ipam.Choice {
	choice, err := x.Pick(req, now)
	if err != nil {
		b.Fatal(err)
	}
	if err := x.Take(choice.Address, ipam.Holder{Key: req.Key, Namespace: req.Namespace, Pool: choice.Pool}, now); err != nil {
		b.Fatal(err)
	}
	return choice
}

// BenchmarkClaim is one allocation (Pick and Take) and one release, in a pool
// of which 128 addresses are assigned.
func BenchmarkClaim(b *testing.B) {
	for _, pool := range []struct{ name, addresses string }{
		{"24", "10.0.0.0/24"}, {"16", "10.0.0.0/16"}, {"8", "10.0.0.0/8"}, {"64", "fd00::/64"},
	} {
		b.Run(pool.name, func(b *testing.B) {
			x, req, now := benchIndex(b, pool.addresses)
			for range 128 {
				claim(b, x, req, now)
			}
			b.ReportAllocs()
			for b.Loop() {
				x.Release(claim(b, x, req, now).Address)
			}
		})
	}
}

// BenchmarkClaimFragmented is the same with 100,000 assigned addresses and a
// hole after each.
func BenchmarkClaimFragmented(b *testing.B) {
	x, req, now := benchIndex(b, "10.0.0.0/8")
	var taken []netip.Addr
	for range 200_000 {
		taken = append(taken, claim(b, x, req, now).Address)
	}
	for i := 1; i < len(taken); i += 2 {
		x.Release(taken[i])
	}
	for b.Loop() {
		x.Release(claim(b, x, req, now).Address)
	}
}

// BenchmarkMillion is 1,000,000 allocations out of a /8, each by a Service of
// its own; MB is the heap that the Index then keeps alive.
func BenchmarkMillion(b *testing.B) {
	for b.Loop() {
		before := liveHeap()
		x, req, now := benchIndex(b, "10.0.0.0/8")
		start := time.Now()
		for i := range 1_000_000 {
			req.Key = "bench/web-" + strconv.Itoa(i)
			claim(b, x, req, now)
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/million")
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.Sys)/1e6, "MB-from-OS")
		b.ReportMetric(float64(liveHeap()-before)/1e6, "MB-live")
		runtime.KeepAlive(x)
	}
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
