// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/cloud-provider/service/helpers"
)

const otherFinalizer = "example.com/other"

func readWeb(t *testing.T, api *fake.Clientset) *corev1.Service {
	t.Helper()
	service, err := api.CoreV1().Services("default").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return service
}

func countWrites(api *fake.Clientset) (n int) {
	for _, action := range api.Actions() {
		if action.GetVerb() == "patch" {
			n++
		}
	}
	return n
}

// TestFinalizerComesWithTheAddress makes the writes of the service controller, with its own function, and looks at what
// the Service has become after each.
func TestFinalizerComesWithTheAddress(t *testing.T) {
	withAddress := corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}}
	for _, test := range []struct {
		name                      string
		had                       []string
		status                    corev1.LoadBalancerStatus
		deleting                  bool
		afterFinalizer, afterward []string
		writes                    int
	}{
		{name: "a new Service", afterward: []string{helpers.LoadBalancerCleanupFinalizer}, writes: 1},
		{
			name: "one with another finalizer", had: []string{otherFinalizer}, afterFinalizer: []string{otherFinalizer},
			afterward: []string{helpers.LoadBalancerCleanupFinalizer, otherFinalizer}, writes: 1,
		},
		{
			name: "one that lost its finalizer", status: withAddress,
			afterFinalizer: []string{helpers.LoadBalancerCleanupFinalizer},
			afterward:      []string{helpers.LoadBalancerCleanupFinalizer}, writes: 1,
		},
		{
			name: "one that is being deleted", deleting: true, had: []string{otherFinalizer},
			afterFinalizer: []string{otherFinalizer, helpers.LoadBalancerCleanupFinalizer},
			afterward:      []string{otherFinalizer, helpers.LoadBalancerCleanupFinalizer}, writes: 2,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			cached := &corev1.Service{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", Finalizers: test.had},
				Status:     corev1.ServiceStatus{LoadBalancer: test.status},
			}
			if test.deleting {
				cached.DeletionTimestamp = new(metav1.Now())
			}
			api := fake.NewClientset(cached)
			index := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
			if err := index.Add(cached); err != nil {
				t.Fatal(err)
			}
			client := oneWrite{api, corelisters.NewServiceLister(index)}
			live := func() *corev1.Service { t.Helper(); return readWeb(t, api) }

			finalized, addressed := cached.DeepCopy(), cached.DeepCopy()
			finalized.Finalizers = append(finalized.Finalizers, helpers.LoadBalancerCleanupFinalizer)
			if _, err := helpers.PatchService(client.CoreV1(), cached, finalized); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.afterFinalizer, live().Finalizers); diff != "" {
				t.Errorf("after the finalizer (-want +got):\n%s", diff)
			}
			if len(test.status.Ingress) == 0 {
				addressed.Status.LoadBalancer = withAddress
				if _, err := helpers.PatchService(client.CoreV1(), cached, addressed); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(test.afterward, live().Finalizers); diff != "" {
				t.Errorf("after the address (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(withAddress, live().Status.LoadBalancer); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			if n := countWrites(api); n != test.writes {
				t.Errorf("%d writes, want %d", n, test.writes)
			}
		})
	}
}

// TestRemovalPassesThrough: what takes the finalizer off, and what empties the status, is written as it is.
func TestRemovalPassesThrough(t *testing.T) {
	had := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", Finalizers: []string{helpers.LoadBalancerCleanupFinalizer}},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{
			Ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}},
		}},
	}
	api := fake.NewClientset(had)
	client := oneWrite{api, corelisters.NewServiceLister(cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}))}
	without, empty := had.DeepCopy(), had.DeepCopy()
	without.Finalizers = nil
	empty.Status = corev1.ServiceStatus{}
	for _, now := range []*corev1.Service{without, empty} {
		if _, err := helpers.PatchService(client.CoreV1(), had, now); err != nil {
			t.Fatal(err)
		}
	}
	left := readWeb(t, api)
	if len(left.Finalizers) > 0 || len(left.Status.LoadBalancer.Ingress) > 0 {
		t.Errorf("finalizers %v, status %+v; want neither", left.Finalizers, left.Status)
	}
}
