// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// arrivals tells when Services of a namespace got an address, as a watcher of the API server sees it.
type arrivals struct {
	stop func()
	done chan struct{}

	mu      sync.Mutex
	at      map[string]time.Time // by name of the Service
	changed chan struct{}        // closed, and replaced, with each arrival
	ended   bool
}

// watchArrivals watches the Services of a namespace from now on. The caller calls close.
func watchArrivals(ctx context.Context, kube kubernetes.Interface, namespace string) (*arrivals, error) {
	now, err := kube.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing Services: %w", err)
	}
	w, err := kube.CoreV1().Services(namespace).Watch(ctx, metav1.ListOptions{ResourceVersion: now.ResourceVersion})
	if err != nil {
		return nil, fmt.Errorf("watching Services: %w", err)
	}
	a := &arrivals{stop: w.Stop, done: make(chan struct{}), at: map[string]time.Time{}, changed: make(chan struct{})}
	go func() {
		defer close(a.done)
		for event := range w.ResultChan() {
			if service, ok := event.Object.(*corev1.Service); ok && len(service.Status.LoadBalancer.Ingress) > 0 {
				a.record(service.Name, time.Now())
			}
		}
		a.end()
	}()
	return a, nil
}

func (a *arrivals) record(name string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.at[name]; known {
		return
	}
	a.at[name] = now
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *arrivals) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	close(a.changed)
}

// await waits until n Services have an address and returns when each got it.
func (a *arrivals) await(ctx context.Context, n int) (map[string]time.Time, error) {
	for {
		a.mu.Lock()
		have, ended, changed := len(a.at), a.ended, a.changed
		a.mu.Unlock()
		if have >= n {
			return a.at, nil // complete: nobody writes to it any more but for names beyond n
		}
		if ended {
			return nil, fmt.Errorf("the watch of Services ended with %d of %d addresses", have, n)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d Services have an address: %w", have, n, context.Cause(ctx))
		}
	}
}

func (a *arrivals) close() {
	a.stop()
	<-a.done
}
