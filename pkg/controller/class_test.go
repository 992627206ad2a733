// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ktesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/cloud-provider/service/helpers"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// giveAway makes a Service one without a class, and has an annotation give it to another controller.
func giveAway(service *corev1.Service) {
	service.Spec.LoadBalancerClass = nil
	metav1.SetMetaDataAnnotation(&service.ObjectMeta, v1alpha1.ElsewhereKey, "other")
}

func (w *world) read(name string) *corev1.Service {
	w.Helper()
	service, err := w.kube.CoreV1().Services("ns").Get(w.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return service
}

// TestGivenAwayServiceKeepsWhatItHas takes away the VirtualIP and the finalizer of a Service that was given to another
// controller when it had an address already.
func TestGivenAwayServiceKeepsWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "10.0.0.1")
		w.config.Classless = true
		w.create("a", 80)
		w.edit("a", giveAway)
		w.create("b", 80)
		w.deleteByHand("10.0.0.1")
		w.wantHolders("10.0.0.1", "a")
		w.edit("a", func(service *corev1.Service) { service.Finalizers = nil })
		if left := w.read("a"); !helpers.HasLBFinalizer(left) {
			t.Errorf("finalizers %v: the address would not be given back", left.Finalizers)
		}
		time.Sleep(time.Hour)
		w.wantHolders("10.0.0.1", "a")
	})
}

// TestServiceIsLetGo ends a Service of which the stock controller is not told, or that another manager's must leave alone.
func TestServiceIsLetGo(t *testing.T) {
	deleted := func(w *world) {
		w.edit("a", func(service *corev1.Service) { service.DeletionTimestamp = new(metav1.Now()) })
	}
	for _, test := range []struct {
		name  string
		given bool
		ends  func(*world)
	}{
		{"deleted", false, deleted},
		{"given to another controller and deleted", true, deleted},
		{"given to another controller and deleted, as its VirtualIP was", true, func(w *world) {
			w.config.Balancers.FollowVirtualIPs(cache.ResourceEventHandlerFuncs{}) // it is not made again
			w.deleteByHand("10.0.0.1")
			deleted(w)
		}},
		{"of another type", false, func(w *world) {
			w.edit("a", func(service *corev1.Service) { // what goes with the type, the API server takes away
				service.Spec.Type, service.Spec.LoadBalancerClass = corev1.ServiceTypeClusterIP, nil
				service.Status.LoadBalancer = corev1.LoadBalancerStatus{}
			})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "10.0.0.1")
				w.config.Classless = test.given
				w.create("a", 80)
				if test.given {
					w.edit("a", giveAway)
				}
				w.wantHolders("10.0.0.1", "a")
				var refused atomic.Bool
				w.kube.PrependReactor("patch", "services", func(ktesting.Action) (bool, runtime.Object, error) {
					return !refused.Swap(true), nil, errors.New("etcd is away")
				})
				test.ends(w)
				time.Sleep(time.Second)
				w.wantHolders("10.0.0.1")
				if left := w.read("a"); helpers.HasLBFinalizer(left) || len(left.Status.LoadBalancer.Ingress) > 0 {
					t.Errorf("it has finalizers %v and the status %+v still", left.Finalizers, left.Status.LoadBalancer)
				}
			})
		})
	}
}

// TestWhoseAddressAStatusShows starts a Controller with a Service that was given to another controller, and with an address
// in its status that it has no claim on.
func TestWhoseAddressAStatusShows(t *testing.T) {
	for _, test := range []struct {
		name, address string
		finalizers    []string
		holders       []string
		deleted, ours bool
	}{
		{name: "ours", address: "10.0.0.1", finalizers: []string{helpers.LoadBalancerCleanupFinalizer}, ours: true},
		{name: "ours, deleted", address: "10.0.0.1", finalizers: []string{helpers.LoadBalancerCleanupFinalizer}, deleted: true, ours: true},
		{name: "of no pool", address: "203.0.113.9", finalizers: []string{helpers.LoadBalancerCleanupFinalizer}},
		{name: "of no pool, deleted", address: "203.0.113.9", finalizers: []string{helpers.LoadBalancerCleanupFinalizer}, deleted: true},
		{name: "another's", address: "10.0.0.1", finalizers: []string{helpers.LoadBalancerCleanupFinalizer}, holders: []string{"b"}, deleted: true},
		{name: "without our finalizer", address: "10.0.0.1", finalizers: []string{"example.com/other"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := &corev1.Service{
					ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "a", UID: "a", Finalizers: test.finalizers},
					Spec: corev1.ServiceSpec{
						Type: corev1.ServiceTypeLoadBalancer, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
						Ports: []corev1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80}},
					},
				}
				service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: test.address}}
				giveAway(service)
				if test.deleted {
					service.DeletionTimestamp = new(metav1.Now())
				}
				before := []runtime.Object{service}
				for _, holder := range test.holders {
					vip := &v1alpha1.VirtualIP{ObjectMeta: metav1.ObjectMeta{Name: test.address, UID: "1"}}
					vip.Spec.Address, vip.Spec.Services = test.address, []v1alpha1.ServiceClaim{{Namespace: "ns", Name: holder, UID: "b"}}
					before = append(before, vip)
				}
				w := newWorld(t, "10.0.0.1", before...)
				w.config.Classless = true
				w.look("a")
				if test.ours && !test.deleted {
					test.holders = []string{"a"}
				}
				w.wantHolders(test.address, test.holders...)
				let := len(w.read("a").Finalizers) == 0
				if let != (test.ours && test.deleted) {
					t.Errorf("it was let go: %t", let)
				}
			})
		})
	}
}
