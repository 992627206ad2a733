// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/ipam"
)

// Settings is what a Service asks for beyond its spec. The zero value, with AddressesPerFamily 1, asks for nothing.
type Settings struct {
	// Pools are the pools to take an address from, in order; empty means any that the Service may use.
	Pools []string
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
}

// ErrInvalid is what every error of Parse wraps.
var ErrInvalid = errors.New("invalid settings")

// Parse reads the settings of a Service. The error names every wrong annotation, its value and what was expected; it
// wraps ErrInvalid.
func Parse(service *corev1.Service) (Settings, error) {
	settings := Settings{AddressesPerFamily: 1}
	var errs []error
	if ip := service.Spec.LoadBalancerIP; ip != "" {
		if err := parseAddresses(ip, &settings); err != nil {
			errs = append(errs, fmt.Errorf("spec.loadBalancerIP %q: %w", ip, err))
		}
	}
	for _, row := range table() {
		value, ok := service.Annotations[row.key]
		if !ok {
			continue
		}
		if err := row.parse(value, &settings); err != nil {
			errs = append(errs, fmt.Errorf("annotation %s %q: %w", row.key, value, err))
		}
	}
	errs = append(errs, settings.conflicts()...)
	if len(errs) > 0 {
		return Settings{}, fmt.Errorf("%w: %w", ErrInvalid, errors.Join(errs...))
	}
	return settings, nil
}

// conflicts returns what single annotations cannot tell: settings that exclude each other.
func (s *Settings) conflicts() []error {
	var errs []error
	if s.AddressesPerFamily > 1 {
		for _, other := range []struct {
			set bool
			key string
		}{{len(s.Addresses) > 0, AddressesKey}, {s.SharingKey != "", SharingKeyKey}, {s.ID != "", IDKey}} {
			if other.set {
				errs = append(errs, fmt.Errorf("annotations %s and %s exclude each other", AddressesPerFamilyKey, other.key))
			}
		}
	}
	if s.ID != "" && len(s.Addresses) > 0 {
		errs = append(errs, fmt.Errorf("annotations %s and %s exclude each other", IDKey, AddressesKey))
	}
	for _, address := range s.Addresses {
		if !s.Range.IsEmpty() && s.Range.Family() == ipam.FamilyOf(address) && !s.Range.Contains(address) {
			errs = append(errs, fmt.Errorf("annotation %s: %s lies outside %s %s", AddressesKey, address, AddressRangeKey, s.Range))
		}
	}
	return errs
}

// Address returns the wanted address of a family, if there is one.
func (s *Settings) Address(family ipam.Family) (netip.Addr, bool) {
	for _, address := range s.Addresses {
		if ipam.FamilyOf(address) == family {
			return address, true
		}
	}
	return netip.Addr{}, false
}
