// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// TestWhatAManagerLeftIsEnded starts a Controller after what another one left: all of it happened while none ran, and no
// event of a VirtualIP comes again.
func TestWhatAManagerLeftIsEnded(t *testing.T) {
	for _, test := range []struct {
		name string
		left func() v1alpha1.VirtualIPSpec
	}{
		{"an address that is kept", func() v1alpha1.VirtualIPSpec {
			until := new(metav1.NewTime(time.Now().Add(time.Minute)))
			return v1alpha1.VirtualIPSpec{ReservedFor: &v1alpha1.ReservedFor{Namespace: "ns", Name: "gone", Until: until}}
		}},
		{"a claim of a Service that is gone", func() v1alpha1.VirtualIPSpec {
			return v1alpha1.VirtualIPSpec{Services: []v1alpha1.ServiceClaim{{Namespace: "ns", Name: "gone", UID: "gone"}}}
		}},
		{"an address that its user does not retain any more", func() v1alpha1.VirtualIPSpec {
			return v1alpha1.VirtualIPSpec{ReclaimPolicy: v1alpha1.ReclaimDelete, ID: "web", Epoch: 2}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vip := &v1alpha1.VirtualIP{ObjectMeta: metav1.ObjectMeta{Name: "10.0.0.1", UID: "1"}, Spec: test.left()}
				vip.Spec.Address, vip.Spec.Pool = "10.0.0.1", "p"
				w := newWorld(t, "10.0.0.1", vip)
				time.Sleep(2 * time.Minute)
				_, err := w.objects.FairleadV1alpha1().VirtualIPs().Get(t.Context(), vip.Name, metav1.GetOptions{})
				if !apierrors.IsNotFound(err) {
					t.Errorf("reading the VirtualIP: %v, want it gone", err)
				}
			})
		})
	}
}

// TestAKeptAddressThatAUserRetainsStays has a user make a reservation of an address that is kept for a Service which is gone.
func TestAKeptAddressThatAUserRetainsStays(t *testing.T) {
	for name, until := range map[string]time.Duration{"for a while": time.Minute, "for good": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "10.0.0.1")
				reserved := &v1alpha1.ReservedFor{Namespace: "ns", Name: "gone"}
				if until > 0 {
					reserved.Until = new(metav1.NewTime(time.Now().Add(until)))
				}
				vip := &v1alpha1.VirtualIP{ObjectMeta: metav1.ObjectMeta{Name: "10.0.0.1"}, Spec: v1alpha1.VirtualIPSpec{
					Address: "10.0.0.1", Pool: "p", ReclaimPolicy: v1alpha1.ReclaimDelete, ReservedFor: reserved,
				}}
				vips := w.objects.FairleadV1alpha1().VirtualIPs()
				vip, err := vips.Create(t.Context(), vip, metav1.CreateOptions{})
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				vip.Spec.ReclaimPolicy, vip.Spec.ID = v1alpha1.ReclaimRetain, "web"
				if _, err := vips.Update(t.Context(), vip, metav1.UpdateOptions{}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Minute)
				w.create("a", 80, settings.IDKey, "web")
				w.wantHolders("10.0.0.1", "a")
			})
		})
	}
}

// TestAReservationThatIsTakenBackIsGivenBack has a user retain an address, and think better of it when no Service uses it.
func TestAReservationThatIsTakenBackIsGivenBack(t *testing.T) {
	for _, test := range []struct {
		name    string
		retains func(*world) // 10.0.0.1
		uses    bool
		gone    bool
	}{
		{name: "an address of a Service", uses: true, gone: true, retains: func(w *world) {
			w.create("a", 80)
			w.editVIP(func(spec *v1alpha1.VirtualIPSpec) { spec.ReclaimPolicy = v1alpha1.ReclaimRetain })
		}},
		{name: "a reservation that a Service used", uses: true, gone: true, retains: func(w *world) {
			w.reserve("10.0.0.1", "web")
			w.create("a", 80, settings.IDKey, "web")
		}},
		{name: "a reservation that no Service has used yet", retains: func(w *world) { w.reserve("10.0.0.1", "web") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "10.0.0.1")
				test.retains(w)
				if test.uses {
					w.wantHolders("10.0.0.1", "a")
					if err := w.kube.CoreV1().Services("ns").Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Minute)
				w.wantHolders("10.0.0.1")
				if !w.exists() {
					t.Fatal("the VirtualIP is gone while it is to be retained")
				}
				w.editVIP(func(spec *v1alpha1.VirtualIPSpec) { spec.ReclaimPolicy = v1alpha1.ReclaimDelete })
				time.Sleep(time.Minute)
				if w.exists() == test.gone {
					t.Errorf("the VirtualIP exists: %t, want %t", test.gone, !test.gone)
				}
			})
		})
	}
}

// editVIP changes the spec of the VirtualIP 10.0.0.1 as a user does.
func (w *world) editVIP(change func(*v1alpha1.VirtualIPSpec)) {
	w.Helper()
	vips := w.objects.FairleadV1alpha1().VirtualIPs()
	vip, err := vips.Get(w.Context(), "10.0.0.1", metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	change(&vip.Spec)
	if _, err := vips.Update(w.Context(), vip, metav1.UpdateOptions{}); err != nil {
		w.Fatal(err)
	}
	synctest.Wait()
}
