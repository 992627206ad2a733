// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/settings"
)

// TestAStatusKeepsItsOrder: addresses of which the text sorts otherwise than the number.
func TestAStatusKeepsItsOrder(t *testing.T) {
	w := newWorld(t, poolOf("p", "10.0.0.9-10.0.0.20"))
	service := balanced("ns", "a", 80, settings.AddressesPerFamilyKey, "2")
	w.gets(service, "10.0.0.9", "10.0.0.10")
	w.gets(service, "10.0.0.9", "10.0.0.10")
	service.Annotations[settings.AddressesPerFamilyKey] = "1"
	w.gets(service, "10.0.0.9")
}

// TestTheOldestAddressStays: the one that was published first, though the text of the later one sorts before it.
func TestTheOldestAddressStays(t *testing.T) {
	w := newWorld(t, poolOf("p", "10.0.0.9-10.0.0.20"))
	service := balanced("ns", "a", 80)
	w.gets(service, "10.0.0.9")
	service.Annotations[settings.AddressesPerFamilyKey] = "2"
	w.gets(service, "10.0.0.9", "10.0.0.10")
	w.gets(service, "10.0.0.9", "10.0.0.10")
	delete(service.Annotations, settings.AddressesPerFamilyKey)
	w.gets(service, "10.0.0.9")
}

// stands breaks the settings of a Service, and checks that its status stays what it is.
func (w *world) stands(service *corev1.Service) {
	w.Helper()
	service.Annotations[settings.AnnounceKey] = "by pigeon"
	status, err := w.Ensure(w.Context(), service)
	if !errors.Is(err, settings.ErrInvalid) {
		w.Fatalf("got %v, want it invalid", err)
	}
	if diff := cmp.Diff(service.Status.LoadBalancer, *status); diff != "" {
		w.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestWrongSettingsLeaveTheOrderOfFamilies(t *testing.T) {
	w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9"), poolOf("q", "fd00::1-fd00::9"))
	service := dual(corev1.IPFamilyPolicyRequireDualStack)
	service.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}
	w.gets(service, "fd00::1", "10.0.0.1")
	w.stands(service)
}
