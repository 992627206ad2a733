// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// edit changes a Service.
func (w *world) edit(name string, change func(*corev1.Service)) {
	w.Helper()
	service, err := w.kube.CoreV1().Services("ns").Get(w.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	change(service)
	service.ResourceVersion += "1" // as the API server does
	if _, err := w.kube.CoreV1().Services("ns").Update(w.Context(), service, metav1.UpdateOptions{}); err != nil {
		w.Fatal(err)
	}
	synctest.Wait()
}

// reserve makes a VirtualIP as a user does.
func (w *world) reserve(address, id string) {
	w.Helper()
	vip := &v1alpha1.VirtualIP{ObjectMeta: metav1.ObjectMeta{Name: address}, Spec: v1alpha1.VirtualIPSpec{
		Address: address, ID: id, ReclaimPolicy: v1alpha1.ReclaimRetain,
	}}
	if _, err := w.objects.FairleadV1alpha1().VirtualIPs().Create(w.Context(), vip, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	synctest.Wait()
}

// namespace makes the Namespace of all Services.
func (w *world) namespace() {
	w.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}}
	if err := w.kube.Tracker().Add(namespace); err != nil {
		w.Fatal(err)
	}
	synctest.Wait()
}

// TestWhoWaitsIsTriedAgainAtOnce changes what keeps a Service of our class from its address. Nobody else tries it again,
// and no time passes.
func TestWhoWaitsIsTriedAgainAtOnce(t *testing.T) {
	dns := []string{settings.SharingKeyKey, "dns"}
	local := func(app string) func(*corev1.Service) {
		return func(service *corev1.Service) {
			service.Spec.Selector = map[string]string{"app": app}
			service.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		}
	}
	for _, test := range []struct {
		name   string
		before func(*world)
		change func(*world)
	}{
		{
			name: "the port is free",
			before: func(w *world) {
				w.create("winner", 53, dns...)
				w.create("loser", 53, dns...)
			},
			change: func(w *world) {
				w.edit("winner", func(service *corev1.Service) { service.Spec.Ports[0].Port = 54 })
			},
		},
		{
			name: "the owner shares from now on",
			before: func(w *world) {
				w.create("winner", 53)
				w.create("loser", 54, dns...)
			},
			change: func(w *world) {
				w.edit("winner", func(service *corev1.Service) { service.Annotations = map[string]string{dns[0]: dns[1]} })
			},
		},
		{
			name: "nobody has a key any more on a reservation without one",
			before: func(w *world) {
				w.reserve("10.0.0.1", "web")
				w.create("winner", 53, append(dns, settings.IDKey, "web")...)
				w.create("loser", 54, settings.IDKey, "web")
			},
			change: func(w *world) {
				w.edit("winner", func(service *corev1.Service) { delete(service.Annotations, settings.SharingKeyKey) })
			},
		},
		{
			name: "the pods are the same",
			before: func(w *world) {
				w.create("winner", 53, dns...)
				w.edit("winner", local("other"))
				w.create("loser", 53, dns...)
				w.edit("loser", func(service *corev1.Service) {
					service.Spec.Ports[0].Port = 54
					local("web")(service)
				})
			},
			change: func(w *world) { w.edit("winner", local("web")) },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "10.0.0.1")
				test.before(w)
				w.wantHolders("10.0.0.1", "winner")
				test.change(w)
				w.wantHolders("10.0.0.1", "winner", "loser")
			})
		})
	}
}

// TestNamespaceIsLetIn changes the labels of a Namespace until a pool is for it.
func TestNamespaceIsLetIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "10.0.0.1")
		w.namespace()
		pools := w.objects.FairleadV1alpha1().AddressPools()
		pool, err := pools.Get(t.Context(), "p", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		pool.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "web"}}
		if _, err := pools.Update(t.Context(), pool, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.create("a", 80)
		w.wantHolders("10.0.0.1")
		labelled := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns", Labels: map[string]string{"team": "web"}}}
		if _, err := w.kube.CoreV1().Namespaces().Update(t.Context(), labelled, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.wantHolders("10.0.0.1", "a")
	})
}

// TestQuarantineEnds lets a Service leave an address that another station uses. When the time is over, who waits gets it.
func TestQuarantineEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "10.0.0.1-10.0.0.2")
		w.create("a", 80)
		w.tell("10.0.0.1", v1alpha1.ConditionConflict)
		w.create("b", 80)
		w.wantHolders("10.0.0.2", "a")
		time.Sleep(9 * time.Minute)
		w.wantHolders("10.0.0.1")
		time.Sleep(2 * time.Minute)
		w.wantHolders("10.0.0.1", "b")
	})
}

// TestStockControllerSpeaksFirst changes the conditions of an address just after its Service was given a wrong setting, of
// which the stock controller tells its owner: what the address becomes is no reason to do so too, unless it is lost.
func TestStockControllerSpeaksFirst(t *testing.T) {
	for condition, atOnce := range map[string]int{
		v1alpha1.ConditionAnnounced: 0, v1alpha1.ConditionHealthy: 0, v1alpha1.ConditionConflict: 1,
	} {
		t.Run(condition, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "10.0.0.1")
				w.config.Classless = true
				w.create("a", 80)
				w.edit("a", func(service *corev1.Service) { service.Spec.LoadBalancerClass = nil })
				time.Sleep(time.Minute)
				for len(w.events.Events) > 0 {
					<-w.events.Events
				}
				w.edit("a", func(service *corev1.Service) {
					metav1.SetMetaDataAnnotation(&service.ObjectMeta, settings.HostnameKey, "No_Host")
				})
				w.tell("10.0.0.1", condition)
				if got := len(w.events.Events); got != atOnce {
					t.Errorf("%d events at once, want %d", got, atOnce)
				}
				time.Sleep(settle)
				synctest.Wait()
				if got := len(w.events.Events); got != 1 {
					t.Errorf("%d events when the stock controller has had its time, want one", got)
				}
			})
		})
	}
}

// tell sets a condition of a VirtualIP, as announcers do.
func (w *world) tell(name, condition string) {
	w.Helper()
	vips := w.objects.FairleadV1alpha1().VirtualIPs()
	vip, err := vips.Get(w.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	apimeta.SetStatusCondition(&vip.Status.Conditions, metav1.Condition{Type: condition, Status: metav1.ConditionTrue})
	if _, err := vips.UpdateStatus(w.Context(), vip, metav1.UpdateOptions{}); err != nil {
		w.Fatal(err)
	}
	synctest.Wait()
}

// TestServiceMadeAnewIsToldAgain deletes a Service that waits, and makes it again.
func TestServiceMadeAnewIsToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "10.0.0.1")
		w.create("a", 80)
		for range 2 {
			for len(w.events.Events) > 0 {
				<-w.events.Events
			}
			w.create("b", 80)
			w.look("b")
			if got := len(w.events.Events); got != 1 {
				t.Errorf("%d events, want one", got)
			}
			if err := w.kube.CoreV1().Services("ns").Delete(t.Context(), "b", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got := w.config.Balancers.Waiting(); len(got) > 0 {
				t.Errorf("%v wait though they are gone", got)
			}
		}
	})
}
