// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ktesting "k8s.io/client-go/testing"
)

// dual returns a Service of two families.
func dual(policy corev1.IPFamilyPolicy) *corev1.Service {
	service := balanced("ns", "a", 80)
	service.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}
	service.Spec.IPFamilyPolicy = &policy
	return service
}

// fails has the API server refuse to write VirtualIPs until the function that it returns is called.
func (w *world) fails(verb string) (mend func()) {
	failing := true
	w.api.PrependReactor(verb, "virtualips", func(ktesting.Action) (bool, runtime.Object, error) {
		return failing, nil, errors.New("etcd is away")
	})
	return func() { failing = false }
}

func TestAWriteThatFailsIsTriedAgainWhateverTheFamilies(t *testing.T) {
	for _, policy := range []corev1.IPFamilyPolicy{corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack} {
		t.Run(string(policy), func(t *testing.T) {
			w := newWorld(t, poolOf("p", "10.0.0.1"), poolOf("q", "fd00::1"))
			service := dual(policy)
			w.gets(service, "10.0.0.1", "fd00::1")
			mend := w.fails("update")
			service.Spec.Ports[0].Port = 443
			if _, err := w.Ensure(t.Context(), service); err == nil || Permanent(err) {
				t.Fatalf("the ports are not on record, and the error is %v", err)
			}
			mend()
			w.gets(service, "10.0.0.1", "fd00::1")
			if got := w.vip("10.0.0.1").Spec.Services[0].Ports[0].Port; got != 443 {
				t.Errorf("port %d is on record, want 443", got)
			}
		})
	}
}

func TestWhyAFamilyIsMissingIsToldOnce(t *testing.T) {
	w := newWorld(t, poolOf("p", "10.0.0.1"))
	service := dual(corev1.IPFamilyPolicyPreferDualStack)
	w.gets(service, "10.0.0.1")
	w.gets(service, "10.0.0.1")
	if len(w.events.Events) != 1 {
		t.Fatalf("%d events, want 1", len(w.events.Events))
	}
	if got, want := <-w.events.Events, "Warning AddressNotAssigned no pool offers IPv6 addresses"; !strings.HasPrefix(got, want) {
		t.Errorf("event %q, want %q", got, want)
	}
}

func TestAnErrorIsPermanentWhenNoPartOfItMayPass(t *testing.T) {
	w := newWorld(t, poolOf("p", "10.0.0.1"))
	mend := w.fails("create")
	for _, policy := range []corev1.IPFamilyPolicy{corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack} {
		if _, err := w.Ensure(t.Context(), dual(policy)); err == nil || Permanent(err) {
			t.Errorf("%s: one family would have an address at the next try, and the error is %v", policy, err)
		}
	}
	mend()
	if _, err := w.Ensure(t.Context(), dual(corev1.IPFamilyPolicyRequireDualStack)); !Permanent(err) {
		t.Errorf("no pool has the other family, and the error is %v", err)
	}
}
