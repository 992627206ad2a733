// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
)

// Settings is what a Service asks for beyond its spec. The zero value, with AddressesPerFamily 1, asks for nothing.
type Settings struct {
	// Pools are the pools to take an address from, in order; empty means any that the Service may use.
	Pools []string
	// IPv6Pools are the pools for an IPv6 address, where they are others.
	IPv6Pools []string
	// PoolFixed says that a Service with an address never moves to another pool: naming one then is an error.
	PoolFixed bool
	// AddressFixed says that Addresses stand for a reservation, and that a Service with an address never moves to another.
	AddressFixed bool
	// Families are the IP families to have addresses of; empty means those of the spec.
	Families []ipam.Family
	// Addresses are wanted addresses, at most one per family.
	Addresses []netip.Addr
	// Range limits the choice of an address; empty where IsEmpty.
	Range ipam.Range
	// AddressesPerFamily is the number of addresses per IP family, from 1 to 16.
	AddressesPerFamily int
	// SharingKey lets Services with the same key use one address on different ports; empty means no sharing.
	SharingKey string
	// ID names a reserved VirtualIP by its spec.id.
	ID string

	// Address is what is asked of the address as a whole.
	Address AddressSettings
	// HealthCheck is the probe by which nodes find out whether they may announce; nil for none.
	HealthCheck *v1alpha1.HealthCheck
	// AccessControl limits the clients; nil admits all.
	AccessControl *v1alpha1.AccessControl
	// DisplayName and Tags are for people.
	DisplayName string
	Tags        map[string]string
	// DeleteProtection keeps others than the manager from deleting the VirtualIP.
	DeleteProtection bool
	// PreserveOnDelete keeps the address for a Service of the same name.
	PreserveOnDelete bool
	// DrainTimeout is how long a draining node goes on announcing as a last resort; nil for the default.
	DrainTimeout *time.Duration

	made map[string]hit // the annotation that made each setting
}

// ErrInvalid is what every error of Parse wraps.
var ErrInvalid = errors.New("invalid settings")

// SpecFamilies returns the IP families of a Service's spec, in their order: IPv4 where the API server has not filled them in.
func SpecFamilies(service *corev1.Service) []ipam.Family {
	if len(service.Spec.IPFamilies) == 0 {
		return []ipam.Family{ipam.IPv4}
	}
	all := make([]ipam.Family, len(service.Spec.IPFamilies))
	for i, family := range service.Spec.IPFamilies {
		if all[i] = ipam.IPv4; family == corev1.IPv6Protocol {
			all[i] = ipam.IPv6
		}
	}
	return all
}

// PoolsOf returns the pools to take an address of a family from.
func (s *Settings) PoolsOf(family ipam.Family) []string {
	if family == ipam.IPv6 && len(s.IPv6Pools) > 0 {
		return s.IPv6Pools
	}
	return s.Pools
}

// AddressOf returns the wanted address of a family, if there is one.
func (s *Settings) AddressOf(family ipam.Family) (netip.Addr, bool) {
	for _, address := range s.Addresses {
		if ipam.FamilyOf(address) == family {
			return address, true
		}
	}
	return netip.Addr{}, false
}

// KeyOf returns the key of the annotation that made a setting, which is named by its own annotation without prefix; that
// annotation's key where none did.
func (s *Settings) KeyOf(setting string) string {
	if by, ok := s.made[setting]; ok {
		return by.key
	}
	return Prefix + setting
}

// Warning is something about a Service's settings that its owner should know and that stops nothing.
type Warning struct {
	// Reason is the reason of the event.
	Reason string
	// Text names the annotation, its value and what is the matter.
	Text string
}

// The reasons of warnings.
const (
	// ReasonIgnored: an annotation is understood and has no effect.
	ReasonIgnored = "AnnotationIgnored"
	// ReasonUnknown: a key under a known prefix is not known.
	ReasonUnknown = "AnnotationUnknown"
	// ReasonOverridden: another annotation says the same thing differently, and wins.
	ReasonOverridden = "AnnotationOverridden"
	// ReasonAdvice: what the annotation asks for has to be done elsewhere, or by other means.
	ReasonAdvice = "AnnotationAdvice"
)
