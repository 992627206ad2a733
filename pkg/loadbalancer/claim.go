// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/cloud-provider/service/helpers"
	"k8s.io/utils/ptr"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// Key returns the key of a Service, as queues and indices of this project use it.
func Key(namespace, name string) string { return namespace + "/" + name }

// claimOf returns what a VirtualIP says of a Service that uses it.
func claimOf(service *corev1.Service, want settings.Settings) v1alpha1.ServiceClaim {
	claim := v1alpha1.ServiceClaim{
		Namespace:             service.Namespace,
		Name:                  service.Name,
		UID:                   service.UID,
		ExternalTrafficPolicy: service.Spec.ExternalTrafficPolicy,
		HealthCheckNodePort:   service.Spec.HealthCheckNodePort,
		SourceRanges:          service.Spec.LoadBalancerSourceRanges,
		SharingKey:            want.SharingKey,
		HealthCheck:           want.HealthCheck,
		AccessControl:         want.AccessControl,
		Settings:              want.Address.Encode(),
		DisplayName:           want.DisplayName,
		Tags:                  want.Tags,
		DeleteProtection:      want.DeleteProtection,
		PreserveOnDelete:      want.PreserveOnDelete,
	}
	if want.DrainTimeout != nil {
		claim.DrainTimeoutSeconds = new(int32(want.DrainTimeout.Seconds()))
	}
	for _, port := range service.Spec.Ports {
		claim.Ports = append(claim.Ports, v1alpha1.ServicePort{
			Protocol: port.Protocol, Port: port.Port, NodePort: port.NodePort,
		})
	}
	return claim
}

// findClaim returns the position of a Service's claim on a VirtualIP, or -1.
func findClaim(vip *v1alpha1.VirtualIP, key string) int {
	return claimAt(vip.Spec.Services, key)
}

func claimAt(claims []v1alpha1.ServiceClaim, key string) int {
	return slices.IndexFunc(claims, func(claim v1alpha1.ServiceClaim) bool {
		return Key(claim.Namespace, claim.Name) == key
	})
}

// putClaim adds a Service's claim to the spec, or replaces it in place: the oldest stays first.
func putClaim(spec *v1alpha1.VirtualIPSpec, claim v1alpha1.ServiceClaim) {
	at := claimAt(spec.Services, Key(claim.Namespace, claim.Name))
	if at < 0 {
		spec.Services = append(spec.Services, claim)
	} else {
		spec.Services[at] = claim
	}
	redeem(spec, claim)
	spec.Epoch = max(spec.Epoch, 1)
}

// Spent tells whether a VirtualIP has outlived the Services that used it, and is neither kept for one nor a reservation: a
// user has taken back that it was to be retained. One that no Service has used yet, of whatever policy, is not spent: its
// user made it for a Service that is still to come.
func Spent(vip *v1alpha1.VirtualIP) bool {
	return vip.Spec.ReclaimPolicy != v1alpha1.ReclaimRetain && len(vip.Spec.Services) == 0 &&
		vip.Spec.ReservedFor == nil && vip.Spec.Epoch > 0
}

// sharedUnder tells whether an address is shared under a key: that which its owner gave it, or else that of the Services on
// it other than the one that asks, or of the one that it is kept for.
func sharedUnder(vip *v1alpha1.VirtualIP, key, asks string) bool {
	switch {
	case vip.Spec.Sharing != nil:
		return vip.Spec.Sharing.Key == key
	case key == "":
		return false
	case vip.Spec.ReservedFor != nil:
		return vip.Spec.ReservedFor.SharingKey == key
	}
	return slices.ContainsFunc(vip.Spec.Services, func(claim v1alpha1.ServiceClaim) bool {
		return claim.SharingKey == key && Key(claim.Namespace, claim.Name) != asks
	})
}

// shownFirst sorts VirtualIPs as the status of a Service shows their addresses; what it does not show comes after that, by
// address. So the address that clients know is the one to keep, and a status does not change its order by itself.
func shownFirst(vips []*v1alpha1.VirtualIP, service *corev1.Service) []*v1alpha1.VirtualIP {
	ingress := service.Status.LoadBalancer.Ingress
	place := func(vip *v1alpha1.VirtualIP) int {
		at := slices.IndexFunc(ingress, func(shown corev1.LoadBalancerIngress) bool { return shown.IP == vip.Spec.Address })
		if at < 0 {
			return len(ingress)
		}
		return at
	}
	slices.SortStableFunc(vips, func(a, b *v1alpha1.VirtualIP) int {
		first, _ := address(a)
		second, _ := address(b)
		return cmp.Or(cmp.Compare(place(a), place(b)), first.Compare(second))
	})
	return vips
}

// published returns, of what a Service has, what its status shows, in that order: while its settings are wrong, nothing new
// is shown. An empty status of a Service with the finalizer, which came with its addresses, was emptied by somebody, and all
// of them are to come back.
func published(vips []*v1alpha1.VirtualIP, service *corev1.Service) []*v1alpha1.VirtualIP {
	if len(service.Status.LoadBalancer.Ingress) == 0 && helpers.HasLBFinalizer(service) {
		return shownFirst(vips, service)
	}
	return slices.DeleteFunc(shownFirst(vips, service), func(vip *v1alpha1.VirtualIP) bool { return !Shows(service, vip.Spec.Address) })
}

// Shows tells whether the status of a Service shows an address.
func Shows(service *corev1.Service, address string) bool {
	return slices.ContainsFunc(service.Status.LoadBalancer.Ingress, func(ingress corev1.LoadBalancerIngress) bool {
		return ingress.IP == address
	})
}

// isReservedFor tells whether a VirtualIP waits for a Service of this key.
func isReservedFor(vip *v1alpha1.VirtualIP, key string) bool {
	reserved := vip.Spec.ReservedFor
	return reserved != nil && Key(reserved.Namespace, reserved.Name) == key
}

// sameSpec tells whether writing the spec would change nothing.
func sameSpec(a, b *v1alpha1.VirtualIPSpec) bool { return apiequality.Semantic.DeepEqual(a, b) }

// address returns the address of a VirtualIP. The API server admits no other than a canonical one.
func address(vip *v1alpha1.VirtualIP) (netip.Addr, bool) {
	parsed, err := netip.ParseAddr(vip.Spec.Address)
	return parsed, err == nil
}

// holder says in the terms of the index who has a VirtualIP: its oldest Service.
func holder(vip *v1alpha1.VirtualIP) ipam.Holder {
	held := ipam.Holder{Pool: vip.Spec.Pool}
	if len(vip.Spec.Services) > 0 {
		first := vip.Spec.Services[0]
		held.Key, held.Namespace = Key(first.Namespace, first.Name), first.Namespace
	}
	return held
}

// statusOf returns the load balancer status that names the addresses of the VirtualIPs, in their order. IPMode is set
// because the API server would default it on read, and each comparison would then find a difference.
func statusOf(vips []*v1alpha1.VirtualIP) *corev1.LoadBalancerStatus {
	status := &corev1.LoadBalancerStatus{}
	for _, vip := range vips {
		status.Ingress = append(status.Ingress, corev1.LoadBalancerIngress{
			IP: vip.Spec.Address, IPMode: ptr.To(corev1.LoadBalancerIPModeVIP), Hostname: wishes(&vip.Spec).Hostname,
		})
	}
	return status
}
