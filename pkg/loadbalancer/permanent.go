// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"errors"
	"slices"

	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// Reasons of the events that tell why a Service has no address, or not all that it asks for.
const (
	reasonInvalidSettings = "InvalidSettings"
	reasonNotAssigned     = "AddressNotAssigned"
)

// ReasonOf returns the reason of the event that tells of a permanent error.
func ReasonOf(err error) string {
	if errors.Is(err, settings.ErrInvalid) {
		return reasonInvalidSettings
	}
	return reasonNotAssigned
}

// Permanent tells whether trying again cannot help by itself: only the user, or a change of what others have, can.
func Permanent(err error) bool {
	return slices.ContainsFunc([]error{
		settings.ErrInvalid, ipam.ErrNoPool, ipam.ErrPoolExhausted, ipam.ErrNamespaceLimit, ipam.ErrNotAllowed,
		ipam.ErrAddressInUse, ipam.ErrAddressOutsidePools, ipam.ErrSharing,
	}, func(known error) bool { return errors.Is(err, known) })
}

// pressing joins errors to one that is permanent as a whole, or not at all: as long as another try can help, it is of
// what that may mend alone.
func pressing(errs []error) error {
	if passing := slices.DeleteFunc(slices.Clone(errs), Permanent); len(passing) > 0 {
		return errors.Join(passing...)
	}
	return errors.Join(errs...)
}
