// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// TestAnAddressThatOneWhoLeftBeforeShowsIsKept has two Services leave an address that they shared, and the manager die before
// it writes the status of the first. The next one asks for the last that left; the first shows the address all the same.
func TestAnAddressThatOneWhoLeftBeforeShowsIsKept(t *testing.T) {
	for _, test := range []struct {
		name, class string
		stays       bool
	}{
		{"of our class", v1alpha1.LoadBalancerClass, true},
		{"of another class", "example.com/other", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := &corev1.Service{
					ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "first", UID: "first", Annotations: map[string]string{settings.IDKey: "none"}},
					Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, LoadBalancerClass: &test.class},
				}
				first.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "10.0.0.1"}}
				vip := &v1alpha1.VirtualIP{ObjectMeta: metav1.ObjectMeta{Name: "10.0.0.1", UID: "1"}, Spec: v1alpha1.VirtualIPSpec{
					Address: "10.0.0.1", Pool: "p",
					ReservedFor: &v1alpha1.ReservedFor{Namespace: "ns", Name: "last", Until: new(metav1.Now())},
				}}
				w := newWorld(t, "10.0.0.1", vip, first)
				time.Sleep(time.Minute)
				if w.exists() != test.stays {
					t.Fatalf("the VirtualIP exists: %t, want %t", !test.stays, test.stays)
				}
				if !test.stays {
					return
				}
				w.edit("first", func(service *corev1.Service) { service.Status = corev1.ServiceStatus{} })
				if w.exists() {
					t.Error("the VirtualIP exists, and nobody shows its address any more")
				}
			})
		})
	}
}

// exists tells whether there is a VirtualIP 10.0.0.1.
func (w *world) exists() bool {
	w.Helper()
	_, err := w.objects.FairleadV1alpha1().VirtualIPs().Get(w.Context(), "10.0.0.1", metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		w.Fatal(err)
	}
	return err == nil
}
