// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"errors"
	"fmt"
	"strings"
)

// Why no address could be had. Every error of Index.Pick and Index.Take wraps
// one of them.
var (
	ErrNoPool              = errors.New("no address pool for the Service")
	ErrPoolExhausted       = errors.New("no free address")
	ErrNamespaceLimit      = errors.New("limit of addresses for the namespace reached")
	ErrNotAllowed          = errors.New("the pool is not for this Service")
	ErrAddressInUse        = errors.New("address is in use")
	ErrAddressOutsidePools = errors.New("address is in no pool")
)

// Reason is why one pool gave no address.
type Reason string

// The reasons.
const (
	ReasonNotFound  Reason = "NotFound"            // the Service names a pool that does not exist
	ReasonDisabled  Reason = "Disabled"            // the pool hands out nothing
	ReasonNamed     Reason = "AutoAssignOff"       // only for Services that name the pool
	ReasonNamespace Reason = "NamespaceNotAllowed" // neither listed nor selected
	ReasonService   Reason = "ServiceNotSelected"  // the Service's labels do not match
	ReasonFamily    Reason = "NoSuchFamily"        // no address of the family, taken or free
	ReasonRange     Reason = "RangeOutside"        // the range asked for is not inside the pool
	ReasonAddress   Reason = "AddressOutside"      // the address asked for is not the pool's to hand out
	ReasonLimit     Reason = "NamespaceLimit"      // maxPerNamespace
	ReasonFull      Reason = "Full"
)

// Refusal is one pool's no, with what its text needs. Its String is for the
// event of the Service.
type Refusal struct {
	Pool      string
	Reason    Reason
	Namespace string
	Family    Family
	Range     Range // the range or address asked for; empty if none was
	Limit     int
	Kept      int // of the limit, kept for Services that were deleted
	Usage     Usage
}

// String names the pool and what stands against it.
func (r Refusal) String() string { return "pool " + r.Pool + ": " + r.text() }

func (r Refusal) text() string {
	switch r.Reason {
	case ReasonNotFound:
		return "does not exist"
	case ReasonDisabled:
		return "disabled, it hands out no addresses"
	case ReasonNamed:
		return "autoAssign is off, only a Service that names the pool gets an address"
	case ReasonNamespace:
		return fmt.Sprintf("namespace %s not allowed", r.Namespace)
	case ReasonService:
		return "its serviceSelector does not match the labels of the Service"
	case ReasonFamily:
		return fmt.Sprintf("has no %s addresses", r.Family)
	case ReasonRange:
		return fmt.Sprintf("%s does not lie inside it", r.Range)
	case ReasonAddress:
		return fmt.Sprintf("%s is not an address it hands out", r.Range)
	case ReasonLimit:
		text := fmt.Sprintf("limit of %d addresses for namespace %s reached", r.Limit, r.Namespace)
		if r.Kept > 0 {
			text += fmt.Sprintf(", %d kept for deleted Services", r.Kept)
		}
		return text
	default: // ReasonFull
		return r.fullText()
	}
}

func (r Refusal) fullText() string {
	if !r.Range.IsEmpty() {
		return fmt.Sprintf("no free address in %s", r.Range)
	}
	text := fmt.Sprintf("full, %d of %s %s addresses assigned", r.Usage.Assigned, r.Usage.Capacity, r.Family)
	if r.Usage.Reserved > 0 {
		text += fmt.Sprintf(", %d kept for deleted Services", r.Usage.Reserved)
	}
	if r.Usage.Quarantined > 0 {
		text += fmt.Sprintf(", %d used by other stations on the network", r.Usage.Quarantined)
	}
	return text
}

// sentinel returns what errors.Is finds for the reason.
func (r Reason) sentinel() error {
	switch r {
	case ReasonFull:
		return ErrPoolExhausted
	case ReasonLimit:
		return ErrNamespaceLimit
	case ReasonDisabled, ReasonNamespace, ReasonService:
		return ErrNotAllowed
	case ReasonRange, ReasonAddress:
		return ErrAddressOutsidePools
	case ReasonNotFound, ReasonNamed, ReasonFamily:
		return ErrNoPool
	}
	return ErrNoPool
}

// NoAddressError says why there is no address for a Request. It wraps the one
// sentinel that comes closest to an address: ErrPoolExhausted before
// ErrNamespaceLimit, ErrAddressOutsidePools, ErrNotAllowed and ErrNoPool.
type NoAddressError struct {
	Request  Request
	Refusals []Refusal
}

// Unwrap returns the sentinel.
func (e *NoAddressError) Unwrap() error {
	for _, sentinel := range []error{ErrPoolExhausted, ErrNamespaceLimit, ErrAddressOutsidePools, ErrNotAllowed} {
		for _, r := range e.Refusals {
			if errors.Is(r.Reason.sentinel(), sentinel) {
				return sentinel
			}
		}
	}
	if e.Request.Address.IsValid() || !e.Request.Within.IsEmpty() {
		return ErrAddressOutsidePools
	}
	return ErrNoPool
}

// Error implements error: what was asked for, then every pool's reason.
func (e *NoAddressError) Error() string {
	var b strings.Builder
	switch {
	case e.Request.Address.IsValid():
		fmt.Fprintf(&b, "address %s cannot be assigned", e.Request.Address)
	case !e.Request.Within.IsEmpty():
		fmt.Fprintf(&b, "no address in %s can be assigned", e.Request.Within)
	case e.onlyFamilyMissing():
		return fmt.Sprintf("no pool offers %s addresses: an AddressPool that does is needed", e.Request.Family)
	default:
		fmt.Fprintf(&b, "no %s address can be assigned", e.Request.Family)
	}
	if len(e.Refusals) == 0 {
		b.WriteString(": no pool has it")
	}
	for i, r := range e.Refusals {
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString("; ")
		}
		b.WriteString(r.String())
	}
	return b.String()
}

// onlyFamilyMissing reports whether each pool that the Service did not name
// lacks the family.
func (e *NoAddressError) onlyFamilyMissing() bool {
	if len(e.Request.Pools) > 0 {
		return false
	}
	for _, r := range e.Refusals {
		if r.Reason != ReasonFamily {
			return false
		}
	}
	return true
}
