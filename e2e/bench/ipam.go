// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/fairlead-io/fairlead/pkg/ipam"
)

const (
	// claimedBefore is how many addresses of each pool are taken before the clock starts; a /24 has room for it.
	claimedBefore = 128
	// claimsPerRun is how many allocations and releases a run times.
	claimsPerRun = 200_000
	// million is the number of allocations of ipam_million.
	million = 1_000_000
)

// ipamClaim times an allocation and its release in the index, for pools of very different sizes.
func ipamClaim(_ context.Context, e *env) (figure, error) {
	pools := []struct{ name, addresses string }{
		{"24", "10.0.0.0/24"}, {"16", "10.0.0.0/16"}, {"8", "10.0.0.0/8"}, {"64", "fd00::/64"},
	}
	took := map[string][]float64{}
	runs := e.runsOr(10)
	e.say("%d runs of %d allocations and releases out of a /24, /16, /8 and /64", runs, claimsPerRun)
	for range runs {
		for _, pool := range pools {
			each, err := timeClaims(pool.addresses)
			if err != nil {
				return figure{}, fmt.Errorf("pool %s: %w", pool.addresses, err)
			}
			took[pool.name] = append(took[pool.name], each)
		}
	}
	f := summarize("ns", took["8"], true).with("pool", "/8").with("ratio_8_to_24", quantile(took["8"], 0.5)/quantile(took["24"], 0.5))
	for _, pool := range pools {
		f = f.with("ns_"+pool.name, quantile(took[pool.name], 0.5))
	}
	return f, nil
}

// timeClaims returns the nanoseconds of an allocation and a release.
func timeClaims(addresses string) (float64, error) {
	x, request, err := newIndex(addresses)
	if err != nil {
		return 0, err
	}
	now := time.Now()
	for range claimedBefore {
		if _, err := claim(x, request, now); err != nil {
			return 0, err
		}
	}
	start := time.Now()
	for range claimsPerRun {
		choice, err := claim(x, request, now)
		if err != nil {
			return 0, err
		}
		x.Release(choice.Address)
	}
	return float64(time.Since(start).Nanoseconds()) / claimsPerRun, nil
}

// ipamMillion allocates a million addresses of a /8, each for a Service of its own.
func ipamMillion(_ context.Context, e *env) (figure, error) {
	var seconds, megabytes []float64
	runs := e.runsOr(5)
	e.say("%d runs of %d allocations out of a /8", runs, million)
	for range runs {
		before := liveHeap()
		x, request, err := newIndex("10.0.0.0/8")
		if err != nil {
			return figure{}, err
		}
		start := time.Now()
		for i := range million {
			request.Key = "bench/web-" + strconv.Itoa(i)
			if _, err := claim(x, request, start); err != nil {
				return figure{}, err
			}
		}
		seconds = append(seconds, time.Since(start).Seconds())
		megabytes = append(megabytes, float64(liveHeap()-before)/1e6)
		runtime.KeepAlive(x)
	}
	return summarize("s", seconds, true).with("allocations", million).with("mb", quantile(megabytes, 0.5)), nil
}

// newIndex returns an index with one pool, and a request that it serves.
func newIndex(addresses string) (*ipam.Index, ipam.Request, error) {
	r, err := ipam.ParseRange(addresses)
	if err != nil {
		return nil, ipam.Request{}, err
	}
	x := ipam.NewIndex()
	x.SetPools([]ipam.PoolSpec{{Name: "bench", Addresses: []ipam.Range{r}, AutoAssign: true}}, nil)
	return x, ipam.Request{Key: "bench/web", Namespace: "bench", Family: r.Family()}, nil
}

// claim is what the cloud controller manager does in memory for each address.
func claim(x *ipam.Index, request ipam.Request, now time.Time) (ipam.Choice, error) {
	choice, err := x.Pick(request, now)
	if err != nil {
		return ipam.Choice{}, err
	}
	return choice, x.Take(choice.Address, ipam.Holder{Key: request.Key, Namespace: request.Namespace, Pool: choice.Pool}, now)
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
