// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cloud-provider/service/helpers"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
)

const (
	// creators is how many requests are under way at once, in the product's rounds and in those of the reference.
	creators = 16
	// referenceClass is a load balancer class that nobody serves.
	referenceClass = "fairlead.dev/bench-reference"
	// referenceLabel marks the VirtualIPs that the reference made.
	referenceLabel = "fairlead.dev/bench-reference"
)

// burst measures how many Services per second get an address when n are created at once, as a share of what the API
// server takes from a loop that makes only the writes that are needed. Rounds of product and reference alternate, so
// that what else the machine does falls on both.
func burst(n, rounds int) func(context.Context, *env) (figure, error) {
	return func(ctx context.Context, e *env) (figure, error) {
		if err := e.lab.Apply(ctx, benchPool); err != nil {
			return figure{}, err
		}
		var product, reference, share []float64
		spent := [2]cost{newCost(), newCost()}
		runs := e.runsOr(rounds)
		for round := range runs {
			limit, err := e.round(ctx, n, spent[0], e.createReference)
			if err != nil {
				return figure{}, fmt.Errorf("reference: %w", err)
			}
			rate, err := e.round(ctx, n, spent[1], e.createService)
			if err != nil {
				return figure{}, err
			}
			e.say("round %d: %.0f Services/s, reference %.0f/s", round+1, rate, limit)
			product, reference, share = append(product, rate), append(reference, limit), append(share, rate/limit)
		}
		f := summarize("services/s", product, false)
		f = spent[0].report(f, "reference_", n*runs)
		f = spent[1].report(f, "", n*runs)
		return f.with("services", n).with("creators", creators).with("per_s", f.Median).
			with("reference_per_s", quantile(reference, 0.5)).with("share_of_limit", quantile(share, 0.5)), nil
	}
}

// round lets create make n Services and returns how many per second had an address, as a watcher saw it. What that cost
// is added to spent.
func (e *env) round(ctx context.Context, n int, spent cost, create func(ctx context.Context, i int) error) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := e.rest(ctx); err != nil {
		return 0, err
	}
	seen, err := watchArrivals(ctx, e.kube, benchNamespace)
	if err != nil {
		return 0, err
	}
	defer seen.close()
	before, err := e.cost(ctx)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := parallel(n, func(i int) error { return create(ctx, i) }); err != nil {
		return 0, err
	}
	at, err := seen.await(ctx, n)
	if err != nil {
		return 0, err
	}
	after, err := e.cost(ctx)
	if err != nil {
		return 0, err
	}
	spent.add(before, after)
	last := start
	for _, when := range at {
		if when.After(last) {
			last = when
		}
	}
	rate := float64(n) / last.Sub(start).Seconds()
	return rate, e.clear(ctx)
}

// rest returns when nobody works on what the round before has left: kube-controller-manager asks for the deletion of an
// Endpoints object for each Service that has gone, at its own pace, which would be held against this round.
func (e *env) rest(ctx context.Context) error {
	const window, few = 2 * time.Second, 10
	var last float64
	looked := time.Time{}
	return lab.Eventually(ctx, "the API server to have nothing to do", func(ctx context.Context) (bool, string, error) {
		if time.Since(looked) < window {
			return false, "not looked at yet", nil
		}
		counts, err := e.requests(ctx)
		if err != nil {
			return false, "", err
		}
		total := 0.0
		for _, n := range counts {
			total += n
		}
		first, requests := looked.IsZero(), total-last
		looked, last = time.Now(), total
		return !first && requests <= few, fmt.Sprintf("%.0f requests in %s", requests, window), nil
	})
}

// createService is the product's round: the rest is up to the product.
func (e *env) createService(ctx context.Context, i int) error {
	_, err := e.kube.CoreV1().Services(benchNamespace).Create(ctx, newService(serviceName(i)), metav1.CreateOptions{})
	return err
}

// createReference makes the three writes that are needed: a Service that nobody else acts on, an object, the status.
func (e *env) createReference(ctx context.Context, i int) error {
	wanted := newService(serviceName(i))
	wanted.Spec.LoadBalancerClass = new(referenceClass)
	service, err := e.kube.CoreV1().Services(benchNamespace).Create(ctx, wanted, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	addr := benchAddress(i)
	vip := &v1alpha1.VirtualIP{
		ObjectMeta: metav1.ObjectMeta{Name: ipam.ObjectName(addr), Labels: map[string]string{referenceLabel: ""}},
		Spec: v1alpha1.VirtualIPSpec{
			Address: addr.String(), ReclaimPolicy: v1alpha1.ReclaimRetain,
			Announce: []v1alpha1.Announcement{{L2: &v1alpha1.L2Announcement{}}},
		},
	}
	if _, err := e.fairlead.FairleadV1alpha1().VirtualIPs().Create(ctx, vip, metav1.CreateOptions{}); err != nil {
		return err
	}
	changed := service.DeepCopy()
	changed.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{
		{IP: addr.String(), IPMode: new(corev1.LoadBalancerIPModeVIP)},
	}
	_, err = helpers.PatchService(e.kube.CoreV1(), service, changed)
	return err
}

func serviceName(i int) string { return fmt.Sprintf("burst-%d", i) }

// benchAddress returns number i of the range.
func benchAddress(i int) netip.Addr {
	base := netip.MustParsePrefix(benchRange).Addr().As4()
	return netip.AddrFrom4([4]byte{base[0], base[1], byte((i + 1) >> 8), byte(i + 1)})
}

// parallel calls f for 0 to n-1, as many at once as there are creators, and returns the first error.
func parallel(n int, f func(i int) error) error {
	var (
		next    atomic.Int64
		failed  atomic.Pointer[error]
		running sync.WaitGroup
	)
	for range creators {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && failed.Load() == nil; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	running.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}
