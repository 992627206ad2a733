// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// maxPromised is how many promises are kept in mind beside reservedFor: with it, as many as the API takes.
const maxPromised = 255

// keeping says how long an address that a Service leaves is kept for one of the same name.
type keeping struct {
	time    time.Duration
	forever bool
}

// promise notes that an address is to be kept for a Service that has left it. While others stay, nothing but that is done;
// when the last one has left, the longest promise is kept, and of two that are as long that to the last.
func promise(spec *v1alpha1.VirtualIPSpec, left v1alpha1.ServiceClaim, keep keeping, now time.Time) {
	own := v1alpha1.ReservedFor{Namespace: left.Namespace, Name: left.Name, SharingKey: left.SharingKey}
	if !keep.forever {
		own.Until = new(metav1.NewTime(now.Add(keep.time)))
	}
	all := append([]v1alpha1.ReservedFor{own}, spec.Promised...)
	slices.SortStableFunc(all, longestFirst)
	if len(spec.Services) == 0 {
		spec.ReservedFor, all = &all[0], all[1:]
	}
	all = slices.DeleteFunc(all, func(one v1alpha1.ReservedFor) bool { return one.Until != nil && !one.Until.After(now) })
	spec.Promised = all[:min(len(all), maxPromised)]
}

// longestFirst orders promises; one without an end is the longest.
func longestFirst(a, b v1alpha1.ReservedFor) int {
	switch {
	case a.Until == nil && b.Until == nil:
		return 0
	case a.Until == nil:
		return -1
	case b.Until == nil:
		return 1
	}
	return b.Until.Compare(a.Until.Time)
}

// redeem ends the promises to a Service that has the address. What was kept for another one is promised still.
func redeem(spec *v1alpha1.VirtualIPSpec, claim v1alpha1.ServiceClaim) {
	if spec.ReservedFor != nil {
		spec.Promised = append(spec.Promised, *spec.ReservedFor)
		spec.ReservedFor = nil
	}
	spec.Promised = slices.DeleteFunc(spec.Promised, func(one v1alpha1.ReservedFor) bool {
		return one.Namespace == claim.Namespace && one.Name == claim.Name
	})
}

// setAside keeps the address of a reservation, which is what its user has declared it to be, for nobody.
func setAside(spec *v1alpha1.VirtualIPSpec) {
	if spec.ReclaimPolicy == v1alpha1.ReclaimRetain {
		spec.ReservedFor, spec.Promised = nil, nil
	}
}
