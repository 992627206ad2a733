// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"net/netip"
	"strings"
)

// Condition types of Fairlead's objects.
const (
	// ConditionReady of an AddressPool: it can hand out addresses. Of an Announcer: it takes part.
	ConditionReady = "Ready"
	// ConditionOverlap of an AddressPool: another pool that came first, or a node, has part of its addresses.
	ConditionOverlap = "Overlap"
	// ConditionAnnounced of a VirtualIP: a node answers for the address.
	ConditionAnnounced = "Announced"
	// ConditionConflict of a VirtualIP: a station outside the cluster uses the address.
	ConditionConflict = "Conflict"
)

// VirtualIPName returns the name of the VirtualIP object of an address: its canonical form with : written -. Where that
// would begin or end with -, which no object name may, a 0 stands before or behind it: fd00:10:: is fd00-10--0.
func VirtualIPName(address netip.Addr) string {
	name := strings.ReplaceAll(address.Unmap().String(), ":", "-")
	if strings.HasPrefix(name, "-") {
		name = "0" + name
	}
	if strings.HasSuffix(name, "-") {
		name += "0"
	}
	return name
}
