// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

var dns = annotated(settings.SharingKeyKey, "dns")

func TestServicesShareAnAddressOnDifferentPorts(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{span(s.v4(10), s.v4(20))})
	s.service("tcp", dns, onPort(corev1.ProtocolTCP, 53))
	s.awaitAddresses("tcp", s.v4(10))
	s.service("udp", dns, onPort(corev1.ProtocolUDP, 53))
	s.awaitAddresses("udp", s.v4(10))
	s.service("other-key", annotated(settings.SharingKeyKey, "web"))
	s.awaitAddresses("other-key", s.v4(11))
	s.service("no-key")
	s.awaitAddresses("no-key", s.v4(12))

	s.deleteService("tcp")
	lab.Await(t.Context(), t, "one claim left", func(ctx context.Context) (bool, string, error) {
		vip, err := s.vip(ctx, s.v4(10))
		if err != nil {
			return false, "", err
		}
		return len(vip.Spec.Services) == 1 && vip.Spec.Services[0].Name == "udp", fmt.Sprintf("%+v", vip.Spec.Services), nil
	})
	s.wantAddresses("udp", s.v4(10))
	s.deleteService("udp")
	s.awaitNoVIP(s.v4(10))
}

// Both Services are of our class: the stock controller, which tries others again now and then, does not help.
func TestOlderClaimOfAPortWins(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	ours := ofClass(v1alpha1.LoadBalancerClass)
	s.pool("p", []string{span(s.v4(10), s.v4(20))})
	s.service("winner", ours, dns, onPort(corev1.ProtocolTCP, 53))
	s.awaitAddresses("winner", s.v4(10))
	s.service("loser", ours, dns, onPort(corev1.ProtocolTCP, 53))
	s.awaitWarning("loser", "port TCP/53 belongs to "+s.namespace+"/winner")
	s.wantAddresses("loser")
	s.wantAddresses("winner", s.v4(10))
	// The port becomes free on a live Service.
	s.editService("winner", onPort(corev1.ProtocolTCP, 54))
	s.awaitAddresses("loser", s.v4(10))
	s.wantAddresses("winner", s.v4(10))
}

func TestLoserGetsTheAddressWhenTheWinnerGoes(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{s.v4(10).String()})
	s.service("winner")
	s.awaitAddresses("winner", s.v4(10))
	s.service("loser")
	s.awaitWarning("loser", "full")
	s.deleteService("winner")
	s.awaitAddresses("loser", s.v4(10))
}

func TestLocalTrafficIsNotShared(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{span(s.v4(10), s.v4(20))})
	s.service("cluster", dns, onPort(corev1.ProtocolTCP, 53))
	s.awaitAddresses("cluster", s.v4(10))
	s.service("local", dns, onPort(corev1.ProtocolUDP, 53), local)
	s.awaitWarning("local", "externalTrafficPolicy Local", s.namespace+"/cluster")
	s.wantAddresses("local")
}

func local(service *corev1.Service) {
	service.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
}

func TestSharingAcrossNamespacesNeedsThePoolsLeave(t *testing.T) {
	t.Parallel()
	mine := newSpace(t, sharedCloud(t))
	other := newSpace(t, sharedCloud(t))
	both := func(spec *v1alpha1.AddressPoolSpec) { spec.Namespaces = []string{mine.namespace, other.namespace} }
	closed := mine.pool("closed", []string{span(mine.v4(10), mine.v4(20))}, both, func(spec *v1alpha1.AddressPoolSpec) { spec.Priority = 1 })
	key := annotated(settings.SharingKeyKey, "across-"+mine.namespace)
	mine.service("a", key, onPort(corev1.ProtocolTCP, 80))
	mine.awaitAddresses("a", mine.v4(10))
	other.service("b", key, onPort(corev1.ProtocolTCP, 81))
	other.awaitAddresses("b", mine.v4(11))

	mine.editPool(closed.Name, func(spec *v1alpha1.AddressPoolSpec) { spec.SharedAcrossNamespaces = true })
	other.service("c", key, onPort(corev1.ProtocolTCP, 82), annotated(settings.AddressesKey, mine.v4(10).String()))
	other.awaitAddresses("c", mine.v4(10))
}

func TestReservations(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{span(s.v4(10), s.v4(20)), span(s.v6(0x10), s.v6(0x20))})
	id := "static-" + s.namespace[:2]
	s.reserve(s.v4(10), func(spec *v1alpha1.VirtualIPSpec) { spec.ID = id })
	s.reserve(s.v4(11))
	s.service("plain")
	s.awaitAddresses("plain", s.v4(12))
	s.service("by-id", annotated(settings.IDKey, id))
	s.awaitAddresses("by-id", s.v4(10))
	s.service("by-address", annotated(settings.AddressesKey, s.v4(11).String()))
	s.awaitAddresses("by-address", s.v4(11))
	s.service("unknown", annotated(settings.IDKey, "nothing-like-it"))
	s.awaitWarning("unknown", settings.IDKey, `"nothing-like-it"`, "spec.id")

	for name, addr := range map[string]int{"by-id": 10, "by-address": 11} {
		s.deleteService(name)
		vip := s.wantVIP(s.v4(addr))
		if len(vip.Spec.Services) > 0 || vip.Spec.ReclaimPolicy != v1alpha1.ReclaimRetain || vip.Spec.ReservedFor != nil {
			t.Errorf("reservation %s is left as %+v", s.v4(addr), vip.Spec)
		}
	}
	s.service("second", annotated(settings.IDKey, id))
	s.awaitAddresses("second", s.v4(10))
	s.patchVIP(s.v4(11), `{"spec":{"reclaimPolicy":"Delete"}}`)
	s.awaitNoVIP(s.v4(11))
}

func TestSharedAddressIsKeptForTheOneThatLeftFirst(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{span(s.v4(10), s.v4(20))})
	s.service("a", dns, onPort(corev1.ProtocolTCP, 53), annotated(settings.Prefix+"preserve-on-delete", "on"))
	s.awaitAddresses("a", s.v4(10))
	s.service("b", dns, onPort(corev1.ProtocolUDP, 53))
	s.awaitAddresses("b", s.v4(10))
	s.deleteService("a")
	s.deleteService("b")
	vip := s.wantVIP(s.v4(10))
	if kept := vip.Spec.ReservedFor; kept == nil || kept.Name != "a" || kept.Until != nil || kept.SharingKey == "" {
		t.Fatalf("the VirtualIP is left as %+v", vip.Spec)
	}

	// As a reservation it has no key of those who had it.
	id := "kept-" + s.namespace[:2]
	s.patchVIP(s.v4(10), fmt.Sprintf(`{"spec":{"reclaimPolicy":"Retain","id":%q}}`, id))
	s.service("c", annotated(settings.IDKey, id))
	s.awaitAddresses("c", s.v4(10))
	s.deleteService("c")
	s.patchVIP(s.v4(10), `{"spec":{"reclaimPolicy":"Delete"}}`)
	s.awaitNoVIP(s.v4(10))
}

// All are of our class: the stock controller, which tries others again now and then, does not help.
func TestReservationKeepsNoKeyOfItsServices(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	ours, id := ofClass(v1alpha1.LoadBalancerClass), "keyless-"+s.namespace[:2]
	named := annotated(settings.IDKey, id)
	s.pool("p", []string{span(s.v4(10), s.v4(20))})
	s.reserve(s.v4(10), func(spec *v1alpha1.VirtualIPSpec) { spec.ID = id })
	s.service("keyed", ours, named, dns, onPort(corev1.ProtocolTCP, 53))
	s.awaitAddresses("keyed", s.v4(10))
	s.service("plain", ours, named, onPort(corev1.ProtocolTCP, 54))
	s.awaitWarning("plain", s.namespace+`/keyed has sharing key "dns", this Service ""`)
	s.editService("keyed", func(service *corev1.Service) { delete(service.Annotations, settings.SharingKeyKey) })
	s.awaitAddresses("plain", s.v4(10))
	s.wantAddresses("keyed", s.v4(10))
	if vip := s.wantVIP(s.v4(10)); len(vip.Spec.Services) != 2 || vip.Spec.Sharing != nil {
		t.Errorf("claims %+v under %+v, want two, and no key", vip.Spec.Services, vip.Spec.Sharing)
	}
}

func TestReservationThatAppearsLaterServesWhoWaits(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{span(s.v4(10), s.v4(20))})
	id := "late-" + s.namespace[:2]
	s.service("a", annotated(settings.IDKey, id))
	s.awaitWarning("a", settings.IDKey)
	s.reserve(s.v4(15), func(spec *v1alpha1.VirtualIPSpec) { spec.ID = id })
	s.awaitAddresses("a", s.v4(15))
}
