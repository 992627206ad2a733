// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/cloud-provider/service/helpers"

	fairleadfake "github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned/fake"
	"github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

const otherFinalizer = "example.com/other"

// balancersWith returns a reconciler over an API server where a Service default/web of that UID has the address 192.0.2.1.
func balancersWith(t *testing.T, uid types.UID) *loadbalancer.Reconciler {
	t.Helper()
	objects := fairleadfake.NewClientset(&v1alpha1.VirtualIP{
		ObjectMeta: metav1.ObjectMeta{Name: "192.0.2.1"},
		Spec: v1alpha1.VirtualIPSpec{
			Address: "192.0.2.1", Services: []v1alpha1.ServiceClaim{{Namespace: "default", Name: "web", UID: uid}},
		},
	})
	core := informers.NewSharedInformerFactory(fake.NewClientset(), 0)
	return loadbalancer.New(loadbalancer.Config{
		Client: objects, Objects: externalversions.NewSharedInformerFactory(objects, 0).Fairlead().V1alpha1(),
		Nodes: core.Core().V1().Nodes(), Services: core.Core().V1().Services(), Namespaces: core.Core().V1().Namespaces(),
		EndpointSlices: core.Discovery().V1().EndpointSlices(),
	})
}

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
		claimedBy                 types.UID // of the Service that has the address; by default this one's
		givenAway, refused        bool
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
			afterward:      []string{otherFinalizer, helpers.LoadBalancerCleanupFinalizer}, writes: 1, refused: true,
		},
		{name: "one that gave the address up meanwhile", claimedBy: "another", refused: true},
		{name: "one that another controller serves by now", status: withAddress, claimedBy: "another", givenAway: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			cached := &corev1.Service{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "this", Finalizers: test.had},
				Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer},
				Status:     corev1.ServiceStatus{LoadBalancer: test.status},
			}
			if test.deleting {
				cached.DeletionTimestamp = new(metav1.Now())
			}
			if test.givenAway {
				giveAway(cached)
			}
			api := fake.NewClientset(cached)
			index := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
			if err := index.Add(cached); err != nil {
				t.Fatal(err)
			}
			client := ForStockClient(api, corelisters.NewServiceLister(index), balancersWith(t, cmp.Or(test.claimedBy, "this")))
			live := func() *corev1.Service { t.Helper(); return readWeb(t, api) }

			finalized, addressed := cached.DeepCopy(), cached.DeepCopy()
			finalized.Finalizers = append(finalized.Finalizers, helpers.LoadBalancerCleanupFinalizer)
			if _, err := helpers.PatchService(client.CoreV1(), cached, finalized); err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(test.afterFinalizer, live().Finalizers); diff != "" {
				t.Errorf("after the finalizer (-want +got):\n%s", diff)
			}
			if len(test.status.Ingress) == 0 {
				addressed.Status.LoadBalancer = withAddress
				if _, err := helpers.PatchService(client.CoreV1(), cached, addressed); (err != nil) != test.refused {
					t.Errorf("writing the address: %v, want it refused: %t", err, test.refused)
				}
			}
			want := withAddress
			if test.refused {
				want = corev1.LoadBalancerStatus{}
			}
			if diff := gocmp.Diff(test.afterward, live().Finalizers); diff != "" {
				t.Errorf("after the address (-want +got):\n%s", diff)
			}
			if diff := gocmp.Diff(want, live().Status.LoadBalancer); diff != "" {
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
	client := ForStockClient(api, corelisters.NewServiceLister(cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})), balancersWith(t, "this"))
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
