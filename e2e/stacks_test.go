// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/settings"
)

const (
	v4, v6  = corev1.IPv4Protocol, corev1.IPv6Protocol
	single  = corev1.IPFamilyPolicySingleStack
	prefer  = corev1.IPFamilyPolicyPreferDualStack
	require = corev1.IPFamilyPolicyRequireDualStack
)

func TestFamiliesOfNewServices(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{span(s.v4(10), s.v4(99)), span(s.v6(0x10), s.v6(0x99))})
	for i, test := range []struct {
		name string
		edit edit
		want []corev1.IPFamily
	}{
		{"single", families(single), []corev1.IPFamily{v4}},
		{"single-6", families(single, v6), []corev1.IPFamily{v6}},
		{"prefer", families(prefer), []corev1.IPFamily{v4, v6}},
		{"prefer-6", families(prefer, v6, v4), []corev1.IPFamily{v6, v4}},
		{"require", families(require), []corev1.IPFamily{v4, v6}},
		{"require-6", families(require, v6, v4), []corev1.IPFamily{v6, v4}},
	} {
		s.service(test.name, test.edit)
		got := s.awaitCount(test.name, len(test.want))
		for j, addr := range got {
			if addr.Is6() != (test.want[j] == v6) {
				t.Errorf("%d: Service %s has %v, want families %v", i, test.name, got, test.want)
			}
		}
	}
}

func TestPreferDualStackMakesDoWithOneFamily(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p4", []string{s.v4(10).String()})
	s.service("a", families(prefer))
	s.awaitAddresses("a", s.v4(10))
	s.pool("p6", []string{s.v6(0x10).String()})
	s.awaitAddresses("a", s.v4(10), s.v6(0x10))
}

func TestRequireDualStackWaitsForBothFamilies(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p4", []string{s.v4(10).String()})
	s.service("a", families(require))
	s.awaitWarning("a", "IPv6")
	s.wantAddresses("a")
	s.pool("p6", []string{s.v6(0x10).String()})
	s.awaitAddresses("a", s.v4(10), s.v6(0x10))
}

func TestFamilyOfALiveServiceComesAndGoes(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{span(s.v4(10), s.v4(20)), span(s.v6(0x10), s.v6(0x20))})
	s.service("a", families(single, v4))
	s.awaitAddresses("a", s.v4(10))
	s.editService("a", families(require, v4, v6))
	s.awaitAddresses("a", s.v4(10), s.v6(0x10))
	s.editService("a", func(service *corev1.Service) {
		families(single, v4)(service)
		service.Spec.ClusterIPs = service.Spec.ClusterIPs[:1]
	})
	s.awaitAddresses("a", s.v4(10))
	s.awaitNoVIP(s.v6(0x10))
}

func TestSeveralAddressesPerFamily(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{span(s.v4(10), s.v4(20)), span(s.v6(0x10), s.v6(0x20))})
	s.service("a", families(require), annotated(settings.AddressesPerFamilyKey, "3"))
	s.awaitAddresses("a", s.v4(10), s.v4(11), s.v4(12), s.v6(0x10), s.v6(0x11), s.v6(0x12))
	s.editService("a", annotated(settings.AddressesPerFamilyKey, "1"))
	s.awaitAddresses("a", s.v4(10), s.v6(0x10))
	s.awaitNoVIP(s.v4(12))
	s.awaitNoVIP(s.v6(0x11))
}

func TestExplicitAddresses(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{span(s.v4(10), s.v4(20)), span(s.v6(0x10), s.v6(0x20))})
	s.service("both", families(require), annotated(settings.AddressesKey, fmt.Sprintf("%s,%s", s.v4(15), s.v6(0x15))))
	s.awaitAddresses("both", s.v4(15), s.v6(0x15))
	s.service("field", func(service *corev1.Service) { service.Spec.LoadBalancerIP = s.v4(17).String() })
	s.awaitAddresses("field", s.v4(17))

	s.service("taken", annotated(settings.AddressesKey, s.v4(15).String()))
	s.awaitWarning("taken", s.v4(15).String(), s.namespace+"/both")
	s.wantAddresses("taken")
	s.service("outside", annotated(settings.AddressesKey, s.v4(200).String()))
	s.awaitWarning("outside", s.v4(200).String(), "no pool has it")
	s.deleteService("both")
	s.awaitAddresses("taken", s.v4(15))

	// A wish that changes moves the Service, and the old address is given back.
	s.editService("field", func(service *corev1.Service) { service.Spec.LoadBalancerIP = s.v4(18).String() })
	s.awaitAddresses("field", s.v4(18))
	s.awaitNoVIP(s.v4(17))
	// A wish that cannot be met takes nothing away.
	s.editService("field", func(service *corev1.Service) { service.Spec.LoadBalancerIP = s.v4(15).String() })
	s.awaitWarning("field", s.v4(15).String(), s.namespace+"/taken")
	s.wantAddresses("field", s.v4(18))
}

func TestInlineRange(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{span(s.v4(10), s.v4(20))})
	s.service("a", annotated(settings.AddressRangeKey, span(s.v4(14), s.v4(15))))
	s.awaitAddresses("a", s.v4(14))
	s.service("outside", annotated(settings.AddressRangeKey, span(s.v4(18), s.v4(30))))
	s.awaitWarning("outside", span(s.v4(18), s.v4(30)), "does not lie inside")
	s.wantAddresses("outside")
}
