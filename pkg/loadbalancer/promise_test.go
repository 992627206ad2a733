// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// TestWhoLeavesASharedAddressFirstIsNotForgotten has Services leave an address that they share, in whatever order, and looks
// for whom it is kept in the end.
func TestWhoLeavesASharedAddressFirstIsNotForgotten(t *testing.T) {
	const key, preserve = settings.SharingKeyKey, settings.Prefix + "preserve-on-delete"
	for _, test := range []struct {
		name    string
		leave   func(w *world)
		keptFor string
		atLeast time.Duration // 0: for good
	}{
		{name: "it was to be preserved", keptFor: "a", leave: func(w *world) {
			a, b := balanced("ns", "a", 1, key, "dns", preserve, "on"), balanced("ns", "b", 2, key, "dns")
			w.get(a, b)
			w.deletes(a)
			w.deletes(b)
		}},
		{name: "others use it again in between", keptFor: "a", leave: func(w *world) {
			a, b := balanced("ns", "a", 1, key, "dns", preserve, "on"), balanced("ns", "b", 2, key, "dns")
			w.get(a, b)
			w.deletes(a)
			b = w.deletes(b)
			w.get(b)
			w.deletes(b)
		}},
		{name: "two preserve it, and one is back and does not any more", keptFor: "b", leave: func(w *world) {
			a, b := balanced("ns", "a", 1, key, "dns", preserve, "on"), balanced("ns", "b", 2, key, "dns", preserve, "on")
			w.get(a, b)
			a = w.deletes(a)
			w.deletes(b)
			delete(a.Annotations, preserve)
			w.get(a)
			w.deletes(a)
		}},
		{name: "it is back, and does not preserve it any more", keptFor: "a", atLeast: 50 * time.Second, leave: func(w *world) {
			a, b := balanced("ns", "a", 1, key, "dns", preserve, "on"), balanced("ns", "b", 2, key, "dns")
			w.get(a, b)
			a = w.deletes(a)
			w.deletes(b)
			delete(a.Annotations, preserve)
			w.get(a)
			w.deletes(a)
		}},
		{name: "the last one gives it up for another", keptFor: "a", atLeast: 50 * time.Second, leave: func(w *world) {
			a, b := balanced("ns", "a", 1, key, "dns"), balanced("ns", "b", 2, key, "dns")
			w.get(a, b)
			w.deletes(a)
			b.Annotations[settings.AddressesKey] = "10.0.0.2"
			w.gets(b, "10.0.0.2")
		}},
		{name: "a user makes a reservation of it", leave: func(w *world) {
			a, b := balanced("ns", "a", 1, key, "dns", preserve, "on"), balanced("ns", "b", 2, key, "dns")
			w.get(a, b)
			w.deletes(a)
			w.editVIP(func(spec *v1alpha1.VirtualIPSpec) { spec.ReclaimPolicy = v1alpha1.ReclaimRetain })
			w.deletes(b)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9"))
			test.leave(w)
			vip := w.vip("10.0.0.1")
			kept := vip.Spec.ReservedFor
			switch {
			case len(vip.Spec.Services) > 0:
				t.Errorf("claims are left: %+v", vip.Spec.Services)
			case test.keptFor == "":
				if kept != nil || len(vip.Spec.Promised) > 0 {
					t.Errorf("kept for %+v and %+v, want nobody", kept, vip.Spec.Promised)
				}
			case kept == nil || kept.Name != test.keptFor:
				t.Errorf("kept for %+v, want %s", kept, test.keptFor)
			case (kept.Until == nil) != (test.atLeast == 0), kept.Until != nil && time.Until(kept.Until.Time) < test.atLeast:
				t.Errorf("kept until %v, want %s at least, 0 for good", kept.Until, test.atLeast)
			}
		})
	}
}

// TestPromisesAreNoMoreThanTheAPITakes has more Services leave than that, and one of them come back.
func TestPromisesAreNoMoreThanTheAPITakes(t *testing.T) {
	const most = 256 // as the schema says
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	spec := claimed("10.0.0.1").Spec
	for i := range most + 10 {
		promise(&spec, v1alpha1.ServiceClaim{Namespace: "ns", Name: fmt.Sprint("former-", i)}, keeping{time: time.Minute}, now)
	}
	spec.Services = nil
	promise(&spec, v1alpha1.ServiceClaim{Namespace: "ns", Name: "good"}, keeping{forever: true}, now)
	if spec.ReservedFor == nil || spec.ReservedFor.Name != "good" || len(spec.Promised) > most {
		t.Errorf("kept for %+v, and %d promises", spec.ReservedFor, len(spec.Promised))
	}
	putClaim(&spec, v1alpha1.ServiceClaim{Namespace: "ns", Name: "new"})
	if len(spec.Promised) > most || spec.Promised[len(spec.Promised)-1].Name != "good" {
		t.Errorf("after a claim: %d promises, the last is %+v", len(spec.Promised), spec.Promised[len(spec.Promised)-1])
	}
	spec.Services = nil
	promise(&spec, v1alpha1.ServiceClaim{Namespace: "ns", Name: "new"}, keeping{}, now.Add(time.Hour))
	if spec.ReservedFor.Name != "good" || len(spec.Promised) > 0 {
		t.Errorf("an hour later: kept for %+v, and %d promises", spec.ReservedFor, len(spec.Promised))
	}
}

// get lets Services ask, which are to share 10.0.0.1.
func (w *world) get(services ...*corev1.Service) {
	w.Helper()
	for _, service := range services {
		w.gets(service, "10.0.0.1")
	}
}

// editVIP changes the VirtualIP 10.0.0.1 as a user does, and returns when the Reconciler knows of it.
func (w *world) editVIP(change func(*v1alpha1.VirtualIPSpec)) {
	w.Helper()
	const name = "10.0.0.1"
	vip := w.vip(name)
	change(&vip.Spec)
	written, err := w.api.FairleadV1alpha1().VirtualIPs().Update(w.Context(), vip, metav1.UpdateOptions{})
	if err != nil {
		w.Fatal(err)
	}
	w.knows(func() bool { return w.book.get(name).ResourceVersion == written.ResourceVersion })
}
