// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

func TestConditionsOfAPool(t *testing.T) {
	free := ipam.Usage{Capacity: ipam.SizeFrom(10), Free: ipam.SizeFrom(9), Assigned: 1}
	full := ipam.Usage{Capacity: ipam.SizeFrom(10), Assigned: 10}
	var outside []ipam.Outside
	for i := range 7 {
		outside = append(outside, ipam.Outside{
			Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Holder: ipam.Holder{Key: fmt.Sprintf("ns/s%d", i)},
		})
	}
	for _, test := range []struct {
		name     string
		disabled bool
		report   loadbalancer.PoolReport
		status   metav1.ConditionStatus
		reason   string
		words    []string
	}{
		{"room", false, loadbalancer.PoolReport{IPv4: free}, metav1.ConditionTrue, "Ready", []string{"hands out"}},
		{"room in the other family", false, loadbalancer.PoolReport{IPv4: full, IPv6: free}, metav1.ConditionTrue, "Ready", nil},
		{"full", false, loadbalancer.PoolReport{IPv4: full}, metav1.ConditionFalse, "Full", []string{"no address", "add addresses"}},
		{"disabled", true, loadbalancer.PoolReport{IPv4: free}, metav1.ConditionFalse, "Disabled", []string{"spec.disabled", "stays"}},
		{
			"wrong before all else", true,
			loadbalancer.PoolReport{IPv4: full, Err: errors.Join(errors.New("spec.addresses[0] x"), errors.New("spec.excluded[1] y"))},
			metav1.ConditionFalse, "InvalidSpec",
			[]string{"spec.addresses[0] x; spec.excluded[1] y", "what is assigned stays"},
		},
		{
			"outside", false,
			loadbalancer.PoolReport{IPv4: free, Outside: outside},
			metav1.ConditionTrue, "Ready",
			[]string{"7 assigned addresses lie outside", "10.0.0.4 (ns/s4) and 2 more"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			pool := &v1alpha1.AddressPool{Spec: v1alpha1.AddressPoolSpec{Disabled: test.disabled}}
			got := conditions(pool, test.report)
			ready := meta.FindStatusCondition(got, v1alpha1.ConditionReady)
			if ready == nil || ready.Status != test.status || ready.Reason != test.reason {
				t.Fatalf("Ready is %+v, want %s, %s", ready, test.status, test.reason)
			}
			for _, word := range test.words {
				if !strings.Contains(ready.Message, word) {
					t.Errorf("the message lacks %q: %s", word, ready.Message)
				}
			}
			if first := ready.Message[:1]; strings.ToLower(first) != first || strings.HasSuffix(ready.Message, ".") {
				t.Errorf("the message is not written as those of other objects are: %s", ready.Message)
			}
			if !meta.IsStatusConditionFalse(got, v1alpha1.ConditionOverlap) {
				t.Errorf("Overlap in %+v", got)
			}
		})
	}
}
