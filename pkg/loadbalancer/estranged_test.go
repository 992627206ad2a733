// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

func onlyFor(namespaces ...string) func(*v1alpha1.AddressPoolSpec) {
	return func(spec *v1alpha1.AddressPoolSpec) { spec.Namespaces = namespaces }
}

func sharedAcross(spec *v1alpha1.AddressPoolSpec) { spec.SharedAcrossNamespaces = true }

// refused checks that a Service asks in vain, and is told so in these words.
func (w *world) refused(service *corev1.Service, reason error, words string) {
	w.Helper()
	status, err := w.Ensure(w.Context(), service)
	if !errors.Is(err, reason) || !strings.Contains(err.Error(), words) {
		w.Errorf("%s/%s: got %v and error %v, want one that says %q", service.Namespace, service.Name, status, err, words)
	}
}

func TestAnAddressIsSharedByThoseItsPoolIsFor(t *testing.T) {
	const key = settings.SharingKeyKey
	public := func(spec *v1alpha1.AddressPoolSpec) {
		spec.ServiceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "internal", Operator: metav1.LabelSelectorOpDoesNotExist},
		}}
	}
	w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9", onlyFor("a", "b"), sharedAcross, public), poolOf("q", "10.0.1.1-10.0.1.9"))
	w.gets(balanced("a", "x", 1, key, "dns"), "10.0.0.1")
	w.gets(balanced("b", "x", 2, key, "dns"), "10.0.0.1")
	w.gets(balanced("c", "x", 3, key, "dns"), "10.0.1.1")
	internal := balanced("a", "y", 4, key, "web")
	internal.Labels = map[string]string{"internal": "true"}
	w.gets(balanced("a", "z", 5, key, "web"), "10.0.0.2")
	w.gets(internal, "10.0.1.2")
	naming := balanced("c", "y", 6, key, "dns", settings.AddressesKey, "10.0.0.1")
	w.refused(naming, ipam.ErrNotAllowed, "pool p: namespace c not allowed")
}

func TestAReservationIsForThoseItsPoolIsFor(t *testing.T) {
	w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9", onlyFor("a")), reservation("10.0.0.5", "p", "static"))
	for key, value := range map[string]string{settings.AddressesKey: "10.0.0.5", settings.IDKey: "static"} {
		w.refused(balanced("b", "x", 80, key, value), ipam.ErrNotAllowed, "pool p: namespace b not allowed")
		w.gets(balanced("a", "x", 80, key, value), "10.0.0.5")
	}
}

func TestAReservationIsOfThePoolThatHasItsAddress(t *testing.T) {
	routed := func(spec *v1alpha1.AddressPoolSpec) {
		spec.Announce = []v1alpha1.Announcement{{BGP: &v1alpha1.BGPAnnouncement{}}}
	}
	w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9", onlyFor("a"), routed), reservation("10.0.0.5", "", "static"))
	w.refused(balanced("b", "x", 80, settings.IDKey, "static"), ipam.ErrNotAllowed, "pool p: namespace b not allowed")
	w.gets(balanced("a", "x", 80, settings.IDKey, "static"), "10.0.0.5")
	spec := w.vip("10.0.0.5").Spec
	if spec.Pool != "p" || len(spec.Announce) != 1 || spec.Announce[0].BGP == nil || spec.Announce[0].L2 != nil {
		t.Errorf("pool %q, announced as %+v; want it as pool p says", spec.Pool, spec.Announce)
	}
}

func TestAnEditOfWhomAPoolIsForTakesNothingAway(t *testing.T) {
	w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9", onlyFor("a")))
	service := balanced("a", "x", 80)
	w.gets(service, "10.0.0.1")
	w.editPool("p", onlyFor("b"))
	service.Spec.Ports[0].Port = 81
	w.gets(service, "10.0.0.1")
	if got := w.vip("10.0.0.1").Spec.Services[0].Ports[0].Port; got != 81 {
		t.Errorf("port %d is on record, want 81", got)
	}
}

func TestARangeHoldsForASharedAddressToo(t *testing.T) {
	const key = settings.SharingKeyKey
	w := newWorld(t, poolOf("p", "10.0.0.0/24"))
	w.gets(balanced("ns", "a", 1, key, "dns"), "10.0.0.0")
	w.gets(balanced("ns", "b", 2, key, "dns", settings.AddressRangeKey, "10.0.0.128/30"), "10.0.0.128")
	w.gets(balanced("ns", "c", 3, key, "dns", settings.AddressRangeKey, "10.0.0.128/30"), "10.0.0.128")
}
