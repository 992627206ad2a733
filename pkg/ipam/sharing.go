// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ErrSharing is what every *SharingConflict wraps.
var ErrSharing = errors.New("the Service cannot share the address")

// Port is a port that a Service claims. TCP 80 and UDP 80 are two claims.
type Port struct {
	Protocol string // "TCP", "UDP" or "SCTP"
	Port     uint16
}

// Claim is one Service's use of an address.
type Claim struct {
	Namespace, Name string
	Ports           []Port
	SharingKey      string // "" shares with nobody
	// Local is externalTrafficPolicy Local.
	Local bool
	// Selector is the Service's pod selector; empty for endpoints kept by hand.
	Selector map[string]string
	// Settings are the settings of the address as a whole that the Service
	// makes itself, by name; what is not in it the Service inherits.
	Settings map[string]string
}

func (c Claim) owner() string { return c.Namespace + "/" + c.Name }

// is reports whether both are claims of one Service. A Service that was deleted
// and made again under the same name counts as the same.
func (c Claim) is(d Claim) bool { return c.Namespace == d.Namespace && c.Name == d.Name }

// Shared is the address that a newcomer wants to share.
type Shared struct {
	// Claims are those who use it, oldest first. None makes it nobody's, and
	// everybody may have it.
	Claims []Claim
	// Declared means that a user made the VirtualIP: Services that refer to it
	// need no sharing key, unless it has one.
	Declared bool
	// SharingKey is the key of a declared VirtualIP.
	SharingKey string
	// AcrossNamespaces is the pool's leave to share across namespaces.
	AcrossNamespaces bool
}

// Cause is the rule of sharing that stands against a newcomer.
type Cause string

// The causes.
const (
	CauseNotShareable Cause = "NotShareable"           // the owner has no sharing key
	CauseKey          Cause = "SharingKeyDiffers"      // both have one, or only the owner has
	CauseNamespace    Cause = "NamespaceDiffers"       // and the pool does not allow it
	CausePort         Cause = "PortConflict"           // protocol and port are the owner's
	CauseLocalTraffic Cause = "TrafficPolicyConflict"  // Local, and not the same pods
	CauseSetting      Cause = "SharedSettingsMismatch" // a setting of the address differs
)

// SharingConflict says why a Service cannot share an address, and with whom.
type SharingConflict struct {
	Cause       Cause
	Owner       string // "namespace/name" of the older claim; "" where the VirtualIP's own key differs
	Port        Port   // CausePort
	Setting     string // CauseSetting, with both values
	Have, Wants string // CauseSetting and CauseKey: of the owner and of the newcomer
}

// Unwrap returns ErrSharing.
func (c *SharingConflict) Unwrap() error { return ErrSharing }

// Error implements error.
func (c *SharingConflict) Error() string {
	owner := c.Owner
	if owner == "" {
		owner = "the VirtualIP"
	}
	switch c.Cause {
	case CauseNotShareable:
		return fmt.Sprintf("the address belongs to %s, which has no sharing key", owner)
	case CauseKey:
		return fmt.Sprintf("%s has sharing key %q, this Service %q", owner, c.Have, c.Wants)
	case CauseNamespace:
		return fmt.Sprintf("the address belongs to %s of another namespace, and its pool does not allow "+
			"sharing across namespaces", owner)
	case CausePort:
		return fmt.Sprintf("port %s/%d belongs to %s", c.Port.Protocol, c.Port.Port, owner)
	case CauseLocalTraffic:
		return fmt.Sprintf("externalTrafficPolicy Local needs the same pods behind all Services of an address, "+
			"and those of %s are others", owner)
	default: // CauseSetting
		return fmt.Sprintf("%s is set to %q by %s, and to %q by this Service", c.Setting, c.Have, owner, c.Wants)
	}
}

// Share reports whether newcomer may use the address beside those who do: nil,
// or a *SharingConflict with the oldest claim that stands against it. The
// newcomer's own claim among them is left out, so a live Service that adds a
// port is judged like a new one, and nothing changes for the others.
//
// Local traffic is refused also beside Cluster traffic unless all Services have
// the same pods: where the Local one has no endpoint left the address is
// withdrawn, and would take the other Service with it.
func Share(address Shared, newcomer Claim) error {
	if address.SharingKey != "" && address.SharingKey != newcomer.SharingKey {
		return &SharingConflict{Cause: CauseKey, Have: address.SharingKey, Wants: newcomer.SharingKey}
	}
	for _, older := range address.Claims {
		if older.is(newcomer) {
			continue
		}
		if conflict := conflict(address, older, newcomer); conflict != nil {
			conflict.Owner = older.owner()
			return conflict
		}
	}
	return nil
}

// conflict returns what keeps two claims apart, or nil.
func conflict(address Shared, older, newcomer Claim) *SharingConflict {
	switch {
	case older.SharingKey == "" && !address.Declared:
		return &SharingConflict{Cause: CauseNotShareable}
	case older.SharingKey != newcomer.SharingKey:
		return &SharingConflict{Cause: CauseKey, Have: older.SharingKey, Wants: newcomer.SharingKey}
	case older.Namespace != newcomer.Namespace && !address.AcrossNamespaces:
		return &SharingConflict{Cause: CauseNamespace}
	}
	for _, port := range newcomer.Ports {
		if slices.Contains(older.Ports, port) {
			return &SharingConflict{Cause: CausePort, Port: port}
		}
	}
	if (older.Local || newcomer.Local) && !samePods(older, newcomer) {
		return &SharingConflict{Cause: CauseLocalTraffic}
	}
	for _, name := range slices.Sorted(maps.Keys(newcomer.Settings)) {
		if have, ok := older.Settings[name]; ok && have != newcomer.Settings[name] {
			return &SharingConflict{Cause: CauseSetting, Setting: name, Have: have, Wants: newcomer.Settings[name]}
		}
	}
	return nil
}

// samePods reports whether both Services certainly have the same pods.
func samePods(a, b Claim) bool {
	return len(a.Selector) > 0 && a.Namespace == b.Namespace && maps.Equal(a.Selector, b.Selector)
}
