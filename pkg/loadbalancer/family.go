// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

func policy(service *corev1.Service) corev1.IPFamilyPolicy {
	return ptr.Deref(service.Spec.IPFamilyPolicy, corev1.IPFamilyPolicySingleStack)
}

// families returns the IP families that a Service is to have addresses of, in their order: those it asks for, or those of
// its spec, which the API server has filled in.
func families(service *corev1.Service, want settings.Settings) []ipam.Family {
	if len(want.Families) > 0 {
		return want.Families
	}
	all := settings.SpecFamilies(service)
	if policy(service) == corev1.IPFamilyPolicySingleStack {
		all = all[:1]
	}
	return all
}

// inFamily returns the VirtualIPs of a family.
func inFamily(vips []*v1alpha1.VirtualIP, family ipam.Family) []*v1alpha1.VirtualIP {
	var of []*v1alpha1.VirtualIP
	for _, vip := range vips {
		if addr, ok := address(vip); ok && ipam.FamilyOf(addr) == family {
			of = append(of, vip)
		}
	}
	return of
}

// satisfies tells whether an address that a Service has, or that is kept for it, is one that its settings ask for. What the
// pool says now does not count: editing a pool never takes an address away.
func satisfies(vip *v1alpha1.VirtualIP, key string, want settings.Settings) bool {
	addr, ok := address(vip)
	if !ok || InConflict(vip) {
		return false
	}
	if asked, ok := want.AddressOf(ipam.FamilyOf(addr)); ok && asked != addr {
		return false
	}
	if pools := want.PoolsOf(ipam.FamilyOf(addr)); len(pools) > 0 && !slices.Contains(pools, vip.Spec.Pool) {
		return false
	}
	if !want.Range.IsEmpty() && want.Range.Family() == ipam.FamilyOf(addr) && !want.Range.Contains(addr) {
		return false
	}
	if want.ID != "" && vip.Spec.ID != want.ID {
		return false
	}
	if want.ID == "" && vip.Spec.ID != "" {
		if _, asked := want.AddressOf(ipam.FamilyOf(addr)); !asked {
			return false // a named reservation, and nothing names it any more
		}
	}
	return aloneOrSharing(vip, key, want)
}

// alone tells whether no other Service has the address.
func alone(vip *v1alpha1.VirtualIP, key string) bool {
	return len(vip.Spec.Services) == 0 || len(vip.Spec.Services) == 1 && findClaim(vip, key) == 0
}

// aloneOrSharing tells whether the Service may be with the others on the address, if there are any.
func aloneOrSharing(vip *v1alpha1.VirtualIP, key string, want settings.Settings) bool {
	return alone(vip, key) || sharedUnder(vip, want.SharingKey, key)
}

// InConflict tells whether an announcer found another station using the address before anybody here announced it. An
// address that is announced is defended and stays: one stray packet must not move a Service that works.
func InConflict(vip *v1alpha1.VirtualIP) bool {
	return vip.Status.Node == "" && meta.IsStatusConditionTrue(vip.Status.Conditions, v1alpha1.ConditionConflict)
}

// stays returns an error where the settings name another reservation, or a pool to stay in, than that of an address which
// the Service has published: clients know the address, and it is not to change by the way.
func stays(vip *v1alpha1.VirtualIP, service *corev1.Service, want settings.Settings) error {
	addr, ok := address(vip)
	if !ok || !Shows(service, vip.Spec.Address) || InConflict(vip) {
		return nil
	}
	const remedy = "to move it, delete the Service and make it again, or remove the annotation first"
	if want.ID != "" && vip.Spec.ID != want.ID {
		return fmt.Errorf("%w: annotation %s %q: the Service has %s already: %s", settings.ErrInvalid, want.KeyOf("id"), want.ID, addr, remedy)
	}
	if asked, ok := want.AddressOf(ipam.FamilyOf(addr)); ok && want.AddressFixed && asked != addr {
		return fmt.Errorf("%w: annotation %s %q: the Service has %s already: %s", settings.ErrInvalid, want.KeyOf("addresses"), asked, addr, remedy)
	}
	pools := want.PoolsOf(ipam.FamilyOf(addr))
	if want.PoolFixed && !slices.Contains(pools, vip.Spec.Pool) {
		return fmt.Errorf("%w: annotation %s %q: the Service has %s of pool %s already: %s",
			settings.ErrInvalid, want.KeyOf("address-pool"), strings.Join(pools, ","), addr, vip.Spec.Pool, remedy)
	}
	return nil
}
