// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cloud-provider/service/helpers"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
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

// TestWrongSettingsShowNothingNew: what a Service has claimed while it waited for the rest is not in its status.
func TestWrongSettingsShowNothingNew(t *testing.T) {
	byBGP := func(spec *v1alpha1.AddressPoolSpec) {
		spec.Announce = []v1alpha1.Announcement{{BGP: &v1alpha1.BGPAnnouncement{}}}
	}
	for _, test := range []struct {
		name        string
		pools       []runtime.Object
		annotations map[string]string
	}{
		{"a reservation of one family", []runtime.Object{poolOf("p", "10.0.0.1-10.0.0.9"), webReservation()}, map[string]string{settings.IDKey: "web"}},
		{
			"a pool of one family that announces so",
			[]runtime.Object{poolOf("p", "10.0.0.1-10.0.0.9", byBGP), poolOf("q", "fd00::1-fd00::9")},
			map[string]string{settings.AnnounceKey: "bgp"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, test.pools...)
			service := dual(corev1.IPFamilyPolicyRequireDualStack)
			service.Annotations = test.annotations
			for range 2 {
				if status, err := w.Ensure(t.Context(), service); !errors.Is(err, settings.ErrInvalid) || len(status.Ingress) > 0 {
					t.Errorf("got %v and error %v, want it invalid, and no address", status, err)
				}
			}
			service.Spec.IPFamilies = service.Spec.IPFamilies[:1]
			service.Spec.IPFamilyPolicy = nil
			if status, err := w.Ensure(t.Context(), service); err != nil || len(status.Ingress) != 1 {
				t.Errorf("of one family: %v and error %v, want an address", status, err)
			}
		})
	}
}

func TestWrongSettingsPublishNoPart(t *testing.T) {
	w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.2"))
	service := balanced("ns", "a", 80)
	w.gets(service, "10.0.0.1")
	service.Annotations[settings.AddressesPerFamilyKey] = "3"
	w.refused(service, ipam.ErrPoolExhausted, "full, 2 of 2")
	w.stands(service)
}

// TestAnEmptiedStatusComesBackWhateverTheSettingsSay: the finalizer tells that there was one.
func TestAnEmptiedStatusComesBackWhateverTheSettingsSay(t *testing.T) {
	w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.2"))
	service := balanced("ns", "a", 80)
	w.gets(service, "10.0.0.1")
	service.Finalizers = []string{helpers.LoadBalancerCleanupFinalizer}
	service.Annotations[settings.AnnounceKey] = "by pigeon"
	service.Status = corev1.ServiceStatus{}
	if status, err := w.Ensure(t.Context(), service); !errors.Is(err, settings.ErrInvalid) || len(status.Ingress) != 1 {
		t.Errorf("got %v and error %v, want it invalid, and its address", status, err)
	}
}
