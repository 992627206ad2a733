// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	ktesting "k8s.io/client-go/testing"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// deletes releases what a Service has, and returns it as it is when it is made anew.
func (w *world) deletes(service *corev1.Service) *corev1.Service {
	w.Helper()
	if err := w.Release(w.Context(), service.Namespace, service.Name, service.UID); err != nil {
		w.Fatal(err)
	}
	return again(service)
}

func TestServicesThatShareAndAreMadeAnewHaveTheirAddress(t *testing.T) {
	const key = settings.SharingKeyKey
	for _, test := range []struct {
		name string
		a, b *corev1.Service
	}{
		{"any address", balanced("ns", "a", 1, key, "dns"), balanced("ns", "b", 2, key, "dns")},
		{
			"an address that one names",
			balanced("ns", "a", 1, key, "dns", settings.AddressesKey, "10.0.0.1"), balanced("ns", "b", 2, key, "dns"),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9"))
			w.gets(test.a, "10.0.0.1")
			w.gets(test.b, "10.0.0.1")
			a, b := w.deletes(test.a), w.deletes(test.b)
			w.refused(balanced("ns", "c", 3, settings.AddressesKey, "10.0.0.1"), ipam.ErrAddressInUse, "kept for ns/b")
			w.refused(balanced("other", "c", 3, key, "dns", settings.AddressesKey, "10.0.0.1"), ipam.ErrAddressInUse, "kept for ns/b")
			w.gets(balanced("other", "d", 4, key, "dns"), "10.0.0.2")
			w.gets(a, "10.0.0.1")
			w.gets(b, "10.0.0.1")
		})
	}
}

func TestAnAddressIsKeptUnderTheKeyOfTheOneThatHadIt(t *testing.T) {
	const key = settings.SharingKeyKey
	w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9"))
	a := balanced("ns", "a", 1, key, "dns")
	w.gets(a, "10.0.0.1")
	w.deletes(a)
	w.gets(balanced("ns", "b", 2, key, "dns"), "10.0.0.1")
}

func TestAKeptAddressThatIsNotAskedForAnyMoreIsLeft(t *testing.T) {
	w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9"), poolOf("q", "10.0.1.1"))
	service := balanced("ns", "a", 80)
	w.gets(service, "10.0.0.1")
	moved := w.deletes(service)
	moved.Annotations[settings.AddressPoolKey] = "q"
	w.gets(moved, "10.0.1.1")
	if kept := w.vip("10.0.0.1"); len(kept.Spec.Services) > 0 || kept.Spec.ReservedFor == nil {
		t.Errorf("the former address is claimed: %+v", kept.Spec)
	}
}

func TestAKeptAddressThatItsPoolExcludesDoesNotComeBack(t *testing.T) {
	for name, annotations := range map[string][]string{"alone": nil, "shared": {settings.SharingKeyKey, "dns"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9"))
			service := balanced("ns", "a", 80, annotations...)
			w.gets(service, "10.0.0.1")
			w.editPool("p", func(spec *v1alpha1.AddressPoolSpec) { spec.Excluded = []v1alpha1.AddressRange{"10.0.0.1"} })
			w.gets(service, "10.0.0.1")
			anew := w.deletes(service)
			shows := anew.DeepCopy()
			shows.Status = service.Status
			w.gets(anew, "10.0.0.2")
			w.deletes(anew)
			w.gets(shows, "10.0.0.1")
		})
	}
}

func TestAnAddressIsClaimedBackWhateverItsPoolSaysNow(t *testing.T) {
	for name, edit := range map[string]func(*v1alpha1.AddressPoolSpec){
		"disabled":      func(spec *v1alpha1.AddressPoolSpec) { spec.Disabled = true },
		"for others":    onlyFor("other"),
		"limit reached": func(spec *v1alpha1.AddressPoolSpec) { spec.MaxPerNamespace = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9"), poolOf("q", "10.0.1.1-10.0.1.9"))
			w.gets(balanced("ns", "a", 80), "10.0.0.1")
			w.editPool("p", edit)
			had := balanced("ns", "b", 80)
			had.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "10.0.0.4"}}
			w.gets(had, "10.0.0.4")
			w.gets(balanced("ns", "c", 80), "10.0.1.1")
			named := balanced("ns", "d", 80, settings.AddressesKey, "10.0.0.5")
			named.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "10.0.0.5"}}
			w.gets(named, "10.0.0.5")
		})
	}
}

// TestALostRequestMovesNoAddress has the API server refuse one request: the Service waits for the address that it had.
func TestALostRequestMovesNoAddress(t *testing.T) {
	for _, test := range []struct {
		name, verb string
		comesBack  func(w *world, service *corev1.Service) *corev1.Service
	}{
		{"made anew", "update", (*world).deletes},
		{"VirtualIP lost", "create", func(w *world, service *corev1.Service) *corev1.Service {
			status := service.Status
			service = w.deletes(service)
			service.Status = status
			w.loses("10.0.0.1")
			return service
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9"))
			service := balanced("ns", "a", 80)
			w.gets(service, "10.0.0.1")
			service = test.comesBack(w, service)
			w.failsOnce(test.verb)
			if status, err := w.Ensure(t.Context(), service); err == nil || Permanent(err) {
				t.Errorf("the Service has %+v, %v, want an error that may pass", status, err)
			}
			w.gets(service, "10.0.0.1")
		})
	}
}

// TestThoseWhoShareLeaveAnAddressInConflictTogether: neither joins it again.
func TestThoseWhoShareLeaveAnAddressInConflictTogether(t *testing.T) {
	w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9"))
	a, b := balanced("ns", "a", 1, settings.SharingKeyKey, "dns"), balanced("ns", "b", 2, settings.SharingKeyKey, "dns")
	w.gets(a, "10.0.0.1")
	w.gets(b, "10.0.0.1")
	vip := w.vip("10.0.0.1")
	meta.SetStatusCondition(&vip.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionConflict, Status: metav1.ConditionTrue, Reason: "AddressInUse",
	})
	if _, err := w.api.FairleadV1alpha1().VirtualIPs().UpdateStatus(t.Context(), vip, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.knows(func() bool { return InConflict(w.book.get("10.0.0.1")) })
	w.gets(a, "10.0.0.2")
	w.gets(b, "10.0.0.2")
}

// failsOnce has the API server refuse the next request about VirtualIPs of that kind.
func (w *world) failsOnce(verb string) {
	var refused atomic.Bool
	w.api.PrependReactor(verb, "virtualips", func(ktesting.Action) (bool, runtime.Object, error) {
		return !refused.Swap(true), nil, errors.New("etcd is away")
	})
}

// loses deletes a VirtualIP behind the Reconciler's back, as before a start, and returns when it is known to be gone.
func (w *world) loses(name string) {
	w.Helper()
	if err := w.api.FairleadV1alpha1().VirtualIPs().Delete(w.Context(), name, metav1.DeleteOptions{}); err != nil {
		w.Fatal(err)
	}
	w.knows(func() bool { return w.book.get(name) == nil })
}

// knows waits until the Reconciler has heard of what was written.
func (w *world) knows(condition func() bool) {
	w.Helper()
	err := wait.PollUntilContextTimeout(w.Context(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		return condition(), nil
	})
	if err != nil {
		w.Fatal(err)
	}
}
