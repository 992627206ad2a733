// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

func TestTwoServicesGetTwoAddressesAndDeletionReleasesThem(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	pool := s.pool("p", []string{span(s.v4(10), s.v4(11))})
	s.service("a")
	s.awaitAddresses("a", s.v4(10))
	s.service("b")
	s.awaitAddresses("b", s.v4(11))

	vip := s.wantVIP(s.v4(10))
	if vip.Spec.Pool != pool.Name || len(vip.Spec.Services) != 1 {
		t.Fatalf("VirtualIP %+v", vip.Spec)
	}
	claim := vip.Spec.Services[0]
	if claim.Namespace != s.namespace || claim.Name != "a" || claim.UID == "" || len(claim.Ports) != 1 || claim.Ports[0].Port != 80 {
		t.Errorf("claim %+v", claim)
	}
	s.deleteService("a")
	s.awaitNoVIP(s.v4(10))
	s.service("c")
	s.awaitAddresses("c", s.v4(10))
	s.wantAddresses("b", s.v4(11))
}

func TestReleasedAddressWaitsForItsService(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	pool := s.pool("p", []string{span(s.v4(10), s.v4(11))}, func(spec *v1alpha1.AddressPoolSpec) {
		spec.ReleaseDelay = &metav1.Duration{Duration: 24 * 60 * 60 * 1e9}
	})
	s.service("a")
	s.awaitAddresses("a", s.v4(10))
	s.deleteService("a")
	reserved := s.wantVIP(s.v4(10)).Spec.ReservedFor
	if reserved == nil || reserved.Namespace != s.namespace || reserved.Name != "a" {
		t.Fatalf("reservedFor %+v", reserved)
	}
	s.service("b")
	s.awaitAddresses("b", s.v4(11)) // not the lowest, which is kept
	s.service("c")
	s.awaitWarning("c", pool.Name, "full", "1 kept for deleted Services")
	s.service("a")
	s.awaitAddresses("a", s.v4(10))
	if reserved := s.wantVIP(s.v4(10)).Spec.ReservedFor; reserved != nil {
		t.Errorf("still reserved: %+v", reserved)
	}
}

func TestReservationEndsByItself(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{s.v4(10).String()}, func(spec *v1alpha1.AddressPoolSpec) {
		spec.ReleaseDelay = &metav1.Duration{Duration: 1e9}
	})
	s.service("a")
	s.awaitAddresses("a", s.v4(10))
	s.deleteService("a")
	s.service("b")
	s.awaitAddresses("b", s.v4(10))
}

func TestClearedStatusHeals(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{span(s.v4(10), s.v4(20))})
	s.service("a")
	s.awaitAddresses("a", s.v4(10))
	_, err := s.Client().CoreV1().Services(s.namespace).Patch(t.Context(), "a", types.MergePatchType,
		[]byte(`{"status":{"loadBalancer":{"ingress":null}}}`), metav1.PatchOptions{}, "status")
	if err != nil {
		t.Fatal(err)
	}
	s.awaitAddresses("a", s.v4(10))
}

func TestForeignAddressInStatusIsReplaced(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{span(s.v4(10), s.v4(20))})
	s.service("a")
	s.awaitAddresses("a", s.v4(10))
	_, err := s.Client().CoreV1().Services(s.namespace).Patch(t.Context(), "a", types.MergePatchType,
		[]byte(`{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1","ipMode":"VIP"}]}}}`), metav1.PatchOptions{}, "status")
	if err != nil {
		t.Fatal(err)
	}
	s.awaitAddresses("a", s.v4(10))
}

func TestVirtualIPDeletedByHandComesBack(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{span(s.v4(10), s.v4(20))})
	for _, name := range []string{"a", "b"} {
		s.service(name)
		s.awaitCount(name, 1)
	}
	had := s.wantVIP(s.v4(11))
	vips := s.fairlead.FairleadV1alpha1().VirtualIPs()
	// The lower address is free as well, so that only memory gives the same one.
	s.deleteService("a")
	s.awaitNoVIP(s.v4(10))
	if err := vips.Delete(t.Context(), had.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	lab.Await(t.Context(), t, "another VirtualIP "+had.Name, func(ctx context.Context) (bool, string, error) {
		vip, err := s.vip(ctx, s.v4(11))
		if err != nil {
			return false, err.Error(), nil //nolint:nilerr // tried again: the wait reports it
		}
		return vip.UID != had.UID && len(vip.Spec.Services) == 1 && vip.Spec.Services[0].Name == "b", fmt.Sprintf("%+v", vip.Spec), nil
	})
	s.wantAddresses("b", s.v4(11))
}

func TestPoolThatGrowsServesThoseWhoWait(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	pool := s.pool("p", []string{s.v4(10).String()})
	s.service("a")
	s.awaitAddresses("a", s.v4(10))
	s.service("b")
	s.awaitWarning("b", pool.Name, "full, 1 of 1 IPv4 addresses assigned")
	s.editPool(pool.Name, func(spec *v1alpha1.AddressPoolSpec) {
		spec.Addresses = append(spec.Addresses, v1alpha1.AddressRange(s.v4(30).String()))
	})
	s.awaitAddresses("b", s.v4(30))
	s.service("c")
	s.awaitWarning("c", pool.Name, "full, 2 of 2 IPv4 addresses assigned")
	s.deleteService("a")
	s.awaitAddresses("c", s.v4(10))
}

func TestServiceThatIsNoLoadBalancerAnyMoreGivesItsAddressBack(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{s.v4(10).String()})
	s.service("a")
	s.awaitAddresses("a", s.v4(10))
	s.editService("a", func(service *corev1.Service) {
		service.Spec.Type = corev1.ServiceTypeClusterIP
		service.Spec.AllocateLoadBalancerNodePorts = nil
		service.Spec.ExternalTrafficPolicy = ""
	})
	s.awaitNoVIP(s.v4(10))
	s.awaitAddresses("a")
}

func TestPortsOfALiveServiceFollow(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{s.v4(10).String()})
	s.service("a")
	s.awaitAddresses("a", s.v4(10))
	s.editService("a", func(service *corev1.Service) {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{Name: "second", Port: 53, Protocol: corev1.ProtocolUDP})
	})
	want := []v1alpha1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80}, {Protocol: corev1.ProtocolUDP, Port: 53}}
	lab.Await(t.Context(), t, "the second port on the VirtualIP", func(ctx context.Context) (bool, string, error) {
		vip, err := s.vip(ctx, s.v4(10))
		if err != nil {
			return false, "", err
		}
		return slices.Equal(want, vip.Spec.Services[0].Ports), fmt.Sprintf("%+v", vip.Spec.Services), nil
	})
}
