// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
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
	// referenceLabel marks what the reference made.
	referenceLabel = "fairlead.dev/bench-reference"
	// unpooledRange is the other half of what RFC 2544 sets aside, which no pool has.
	unpooledRange = "198.19.0.0/16"
	// burstStep is how many Services are made at once.
	burstStep = 500
)

// burst measures how many Services per second get an address while n are made, as a share of what the API server takes
// from a loop that makes only the writes that are needed. They are made in steps, all of a step at once, and before each
// step the loop makes as many, which are taken away again: both find the same number of Services there, and the same
// machine, whose speed changes from one minute to the next.
func burst(n, rounds int) func(context.Context, *env) (figure, error) {
	return func(ctx context.Context, e *env) (figure, error) {
		if err := e.lab.Apply(ctx, benchPool); err != nil {
			return figure{}, err
		}
		var product, reference, share []float64
		spent := [2]cost{newCost(), newCost()}
		runs := e.runsOr(rounds)
		for round := range runs {
			took, err := e.grow(ctx, n, spent)
			if err != nil {
				return figure{}, err
			}
			limit, rate := float64(n)/took[0].Seconds(), float64(n)/took[1].Seconds()
			e.say("round %d: %.0f Services/s, reference %.0f/s", round+1, rate, limit)
			product, reference, share = append(product, rate), append(reference, limit), append(share, rate/limit)
			if err := e.clear(ctx); err != nil {
				return figure{}, err
			}
		}
		f := summarize("services/s", product, false)
		f = spent[0].report(f, "reference_", n*runs)
		f = spent[1].report(f, "", n*runs)
		return f.with("services", n).with("step", min(n, burstStep)).with("creators", creators).with("per_s", f.Median).
			with("reference_per_s", quantile(reference, 0.5)).with("share_of_limit", quantile(share, 0.5)), nil
	}
}

// grow makes n Services, and returns how long the reference took for as many, and how long the product. What that cost is
// added to spent, in this order.
func (e *env) grow(ctx context.Context, n int, spent [2]cost) (took [2]time.Duration, err error) {
	for made := 0; made < n; made += burstStep {
		step := min(burstStep, n-made)
		limit, err := e.step(ctx, step, spent[0], e.createReference)
		if err != nil {
			return took, fmt.Errorf("reference: %w", err)
		}
		if err := e.clearReference(ctx); err != nil {
			return took, err
		}
		own, err := e.step(ctx, step, spent[1], func(ctx context.Context, i int) error { return e.createService(ctx, made+i) })
		if err != nil {
			return took, err
		}
		e.say("%d Services: %.0f/s, reference %.0f/s", made+step, float64(step)/own.Seconds(), float64(step)/limit.Seconds())
		took[0], took[1] = took[0]+limit, took[1]+own
	}
	return took, nil
}

// step lets create make n Services and returns how long it took until all had an address, as a watcher saw it. What that
// cost is added to spent.
func (e *env) step(ctx context.Context, n int, spent cost, create func(ctx context.Context, i int) error) (time.Duration, error) {
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
	return last.Sub(start), nil
}

// rest returns when nobody writes any more on account of what was made before: events and the first statuses of VirtualIPs,
// which the product writes at leisure, and the deletion of Endpoints, which kube-controller-manager asks for at its own pace
// when Services have gone. All that would be held against what comes next.
func (e *env) rest(ctx context.Context) error {
	const window, few = 2 * time.Second, 4
	last, looked := -few-1.0, time.Time{}
	return lab.Eventually(ctx, "the API server to be at rest", func(ctx context.Context) (bool, string, error) {
		if time.Since(looked) < window {
			return false, "not looked at yet", nil
		}
		counts, err := e.requests(ctx)
		if err != nil {
			return false, "", err
		}
		total := 0.0
		for name, n := range counts {
			if !strings.HasSuffix(name, " leases") {
				total += n
			}
		}
		requests := total - last
		last, looked = total, time.Now()
		return requests <= few, fmt.Sprintf("%.0f requests in %s", requests, window), nil
	})
}

// createService is the product's round: the rest is up to the product.
func (e *env) createService(ctx context.Context, i int) error {
	_, err := e.kube.CoreV1().Services(benchNamespace).Create(ctx, newService(serviceName(i)), metav1.CreateOptions{})
	return err
}

// createReference makes the three writes that are needed: a Service that nobody else acts on, an object, the status.
func (e *env) createReference(ctx context.Context, i int) error {
	wanted := newService(fmt.Sprintf("reference-%d", i))
	wanted.Spec.LoadBalancerClass = new(referenceClass)
	wanted.Labels = map[string]string{referenceLabel: ""}
	service, err := e.kube.CoreV1().Services(benchNamespace).Create(ctx, wanted, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	addr := unpooledAddress(i)
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

// clearReference deletes what the reference made, and returns when it is gone.
func (e *env) clearReference(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	made := metav1.ListOptions{LabelSelector: referenceLabel}
	services, vips := e.kube.CoreV1().Services(benchNamespace), e.fairlead.FairleadV1alpha1().VirtualIPs()
	all, err := services.List(ctx, made)
	if err != nil {
		return fmt.Errorf("listing Services: %w", err)
	}
	objects, err := vips.List(ctx, made)
	if err != nil {
		return fmt.Errorf("listing VirtualIPs: %w", err)
	}
	if err := parallel(len(all.Items), func(i int) error {
		return services.Delete(ctx, all.Items[i].Name, metav1.DeleteOptions{})
	}); err != nil {
		return fmt.Errorf("deleting Services: %w", err)
	}
	if err := parallel(len(objects.Items), func(i int) error {
		return vips.Delete(ctx, objects.Items[i].Name, metav1.DeleteOptions{})
	}); err != nil {
		return fmt.Errorf("deleting VirtualIPs: %w", err)
	}
	return nil
}

func serviceName(i int) string { return fmt.Sprintf("burst-%d", i) }

// unpooledAddress returns number i of unpooledRange.
func unpooledAddress(i int) netip.Addr {
	base := netip.MustParsePrefix(unpooledRange).Addr().As4()
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
