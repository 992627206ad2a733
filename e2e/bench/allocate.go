// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// benchRange is what RFC 2544 sets aside for benchmarks: no host of the lab has an address of it.
const benchRange = "198.18.0.0/16"

// benchPool gives addresses to all Services. What is released is free at once, so that rounds do not grow.
const benchPool = `
apiVersion: fairlead.dev/v1alpha1
kind: AddressPool
metadata: {name: bench}
spec:
  addresses: ["` + benchRange + `"]
  releaseDelay: 0s
  namespaces: [bench]
  announce: [{l2: {probe: false}}]
---
apiVersion: v1
kind: Namespace
metadata: {name: bench}
`

const benchNamespace = "bench"

// newService returns a Service of type LoadBalancer without a selector: the controllers that make EndpointSlices have
// nothing to write for it, so that what is measured is the way to the address alone. Node ports are not asked for: a
// cluster has 2,768.
func newService(name string) *corev1.Service {
	without := false
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: benchNamespace, Name: name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, AllocateLoadBalancerNodePorts: &without,
			Ports: []corev1.ServicePort{{Name: "http", Port: 80}},
		},
	}
}

// allocateIdle measures from before the request that creates a Service until a watcher sees its address.
func allocateIdle(ctx context.Context, e *env) (figure, error) {
	if err := e.lab.Apply(ctx, benchPool); err != nil {
		return figure{}, err
	}
	seen, err := watchArrivals(ctx, e.kube, benchNamespace)
	if err != nil {
		return figure{}, err
	}
	defer seen.close()
	runs := e.runsOr(50)
	e.say("creating %d Services, one at a time", runs)
	var took []float64
	for i := range runs + 1 {
		name := fmt.Sprintf("idle-%d", i)
		one, err := allocateOne(ctx, e, seen, name, i+1)
		if err != nil {
			return figure{}, err
		}
		if i > 0 { // the first waits for connections and for the pool
			took = append(took, milliseconds(one))
		}
	}
	if err := e.clear(ctx); err != nil {
		return figure{}, err
	}
	return summarize("ms", took, true).with("p90", quantile(took, 0.9)), nil
}

func allocateOne(ctx context.Context, e *env, seen *arrivals, name string, n int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	start := time.Now()
	if _, err := e.kube.CoreV1().Services(benchNamespace).Create(ctx, newService(name), metav1.CreateOptions{}); err != nil {
		return 0, fmt.Errorf("creating Service %s: %w", name, err)
	}
	at, err := seen.await(ctx, n)
	if err != nil {
		return 0, err
	}
	return at[name].Sub(start), nil
}

// clear deletes all Services of the benchmark and returns when they and their VirtualIPs are gone.
func (e *env) clear(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	services := e.kube.CoreV1().Services(benchNamespace)
	vips := e.fairlead.FairleadV1alpha1().VirtualIPs()
	all, err := services.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing Services: %w", err)
	}
	if err := parallel(len(all.Items), func(i int) error {
		return services.Delete(ctx, all.Items[i].Name, metav1.DeleteOptions{})
	}); err != nil {
		return err
	}
	return lab.Eventually(ctx, "Services and VirtualIPs to be gone", func(ctx context.Context) (bool, string, error) {
		left, err := services.List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", err
		}
		owned, err := vips.List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", err
		}
		of := 0
		for _, vip := range owned.Items {
			if vip.Spec.Pool == "bench" {
				of++
			}
		}
		return len(left.Items) == 0 && of == 0, fmt.Sprintf("%d Services, %d VirtualIPs", len(left.Items), of), nil
	})
}
