// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/fairlead-io/fairlead/pkg/ipam"
)

// draft is what has been read of a Service so far. What single annotations say is in it; what they say together, and of
// the Service's spec, comes of finish.
type draft struct {
	Settings
	config  *Config
	service *corev1.Service

	at       hit // what is being read
	warnings []Warning
	unknown  []unknownKey
	errs     []error

	addressType, ipv6AddressType string
	ipVersion                    string
	firstZone, secondZone        string
	onlyZones                    []string // zones outside of which nothing is announced
	protocols                    []portProtocol
	drainOn                      *bool
	drainSeconds                 *int64
	affinity                     *int64
	preserveClientIP             bool
	health                       healthDraft
	access                       accessDraft
}

func newDraft(config *Config, service *corev1.Service) *draft {
	return &draft{config: config, service: service, Settings: Settings{AddressesPerFamily: 1, made: map[string]hit{}}}
}

// wrong collects an error that names the annotation which made a setting.
func (d *draft) wrong(setting, value, format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf("annotation %s %q: %s", d.KeyOf(setting), value, fmt.Sprintf(format, args...)))
}

// set tells whether an annotation made a setting.
func (d *draft) set(setting string) bool { _, ok := d.made[setting]; return ok }

// wins tells whether the annotation that is being read makes a setting which another annotation is for, and which may be
// made already. The loser is warned of, unless both say the same.
func (d *draft) wins(setting string, same bool) bool {
	winner, loser := d.at, d.made[setting]
	if d.set(setting) && d.at.rank >= loser.rank {
		winner, loser = loser, winner
	}
	if d.set(setting) && !same {
		d.overridden(loser, winner)
	}
	d.made[setting] = winner
	return winner.key == d.at.key
}

// yields warns that one setting has no effect because of another, if an annotation made each of them.
func (d *draft) yields(loser, winner string) {
	if d.set(loser) && d.set(winner) {
		d.overridden(d.made[loser], d.made[winner])
	}
}

func (d *draft) overridden(loser, winner hit) {
	d.warn(ReasonOverridden, "%s has no effect: %s %q is set and wins", loser, winner.key, winner.value)
}

// finish works out what the annotations say together, and what they say of the spec.
func (d *draft) finish() Settings {
	d.finishPools()
	d.finishFamilies()
	d.finishZones()
	d.finishPorts()
	d.finishDrain()
	d.finishHealth()
	d.finishAccess()
	d.conflicts()
	d.strangers()
	d.advise()
	slices.SortFunc(d.unknown, func(a, b unknownKey) int { return cmp.Compare(a.key, b.key) })
	for _, unknown := range d.unknown {
		d.warn(ReasonUnknown, "annotation %s is not known: the nearest known one is %s", unknown.key, unknown.near)
	}
	return d.Settings
}

// finishPools chooses the pools: named ones, or those of the address type.
func (d *draft) finishPools() {
	if kind, pools, ok := d.typePools("address-type", cmp.Or(d.addressType, d.config.DefaultAddressType)); ok {
		switch named := slices.DeleteFunc(slices.Clone(d.Pools), func(name string) bool { return slices.Contains(pools, name) }); {
		case len(d.Pools) == 0:
			d.Pools = pools
		case len(named) > 0 && d.addressType != "":
			d.wrong("address-type", kind, "pool %s is none of this type: expected %s", strings.Join(named, ", "), alternatives(pools))
		}
	}
	if _, pools, ok := d.typePools("ipv6-address-type", d.ipv6AddressType); ok {
		d.IPv6Pools = pools
	}
}

// typePools returns the pools of an address type, if one is asked for.
func (d *draft) typePools(setting, kind string) (asked string, pools []string, ok bool) {
	if kind == "" {
		return "", nil, false
	}
	pools = d.config.AddressTypes[strings.ToLower(kind)]
	if len(pools) == 0 {
		if len(d.Pools) == 0 || setting != "address-type" {
			d.wrong(setting, kind, "expected an address type that the cloud config maps to pools (addressTypes): %s", knownNames(d.config.AddressTypes))
		}
		return "", nil, false
	}
	return kind, pools, true
}

// finishFamilies holds ip-version against the families of the spec: kube-proxy drops addresses of others.
func (d *draft) finishFamilies() {
	var want []ipam.Family
	switch d.ipVersion {
	case "":
		return
	case "ipv4":
		want = []ipam.Family{ipam.IPv4}
	case "ipv6":
		want = []ipam.Family{ipam.IPv6}
	case "dualstack":
		want = []ipam.Family{ipam.IPv4, ipam.IPv6}
	}
	have := SpecFamilies(d.service)
	for _, family := range want {
		if !slices.Contains(have, family) {
			d.wrong("ip-version", d.ipVersion, "spec.ipFamilies is %v: expected %s in it", d.service.Spec.IPFamilies, family)
			return
		}
	}
	d.Families = slices.DeleteFunc(have, func(family ipam.Family) bool { return !slices.Contains(want, family) })
}

// finishDrain makes one time of the switch and the number of seconds, unless the time is set by itself.
func (d *draft) finishDrain() {
	on := ptr.Deref(d.drainOn, false)
	switch {
	case d.DrainTimeout != nil:
		if d.drainOn != nil && !on {
			d.yields("connection-drain", "drain-timeout")
		}
		if on && d.drainSeconds != nil && *seconds(*d.drainSeconds) != *d.DrainTimeout {
			d.yields("connection-drain-timeout", "drain-timeout")
		}
	case on:
		d.DrainTimeout = seconds(ptr.Deref(d.drainSeconds, defaultDrainSeconds))
	}
	if d.drainOn == nil && d.drainSeconds != nil {
		d.unswitched("connection-drain-timeout", "connection-drain")
	}
}

// unswitched warns of a setting that has no effect until another one switches it on.
func (d *draft) unswitched(setting, by string) {
	d.warn(ReasonIgnored, "%s has no effect: expected %s on beside it", d.made[setting], by)
}

// conflicts collects what single annotations cannot tell: settings that exclude each other.
func (d *draft) conflicts() {
	exclude := func(a, b string) {
		d.errs = append(d.errs, fmt.Errorf("annotations %s and %s exclude each other", d.KeyOf(a), d.KeyOf(b)))
	}
	if d.AddressesPerFamily > 1 {
		for _, other := range []struct {
			set  bool
			name string
		}{{len(d.Addresses) > 0, "addresses"}, {d.SharingKey != "", "sharing-key"}, {d.ID != "", "id"}} {
			if other.set {
				exclude("addresses-per-family", other.name)
			}
		}
	}
	if d.ID != "" && len(d.Addresses) > 0 {
		exclude("id", "addresses")
	}
	for _, address := range d.Addresses {
		if !d.Range.IsEmpty() && d.Range.Family() == ipam.FamilyOf(address) && !d.Range.Contains(address) {
			d.errs = append(d.errs, fmt.Errorf("annotation %s: %s lies outside %s %s", d.KeyOf("addresses"), address, d.KeyOf("address-range"), d.Range))
		}
	}
}

// strangers warns of addresses that are asked for and of a family that the Service does not have.
func (d *draft) strangers() {
	families := d.Families
	if len(families) == 0 {
		families = SpecFamilies(d.service)
	}
	tell := func(setting string, family ipam.Family, value any) {
		if !slices.Contains(families, family) {
			d.warn(ReasonIgnored, "%s: %s has no effect: the Service is of %v only, expected %s in spec.ipFamilies",
				d.KeyOf(setting), value, families[0], family)
		}
	}
	for _, address := range d.Addresses {
		tell("addresses", ipam.FamilyOf(address), address)
	}
	if !d.Range.IsEmpty() {
		tell("address-range", d.Range.Family(), d.Range)
	}
}

// advise warns of what only the Service's spec can say.
func (d *draft) advise() {
	spec := d.service.Spec
	if d.affinity != nil {
		want, has := *d.affinity, int64(0)
		if spec.SessionAffinity == corev1.ServiceAffinityClientIP {
			has = defaultAffinitySeconds
			if config := spec.SessionAffinityConfig; config != nil && config.ClientIP != nil && config.ClientIP.TimeoutSeconds != nil {
				has = int64(*config.ClientIP.TimeoutSeconds)
			}
		}
		key := d.KeyOf("persistence-timeout")
		switch want {
		case has:
		case 0:
			d.warn(ReasonAdvice, "annotation %s \"0\" is for Kubernetes to do: set spec.sessionAffinity: None", key)
		default:
			d.warn(ReasonAdvice, "annotation %s \"%d\" is for Kubernetes to do: set spec.sessionAffinity: ClientIP and "+
				"spec.sessionAffinityConfig.clientIP.timeoutSeconds: %d", key, want, want)
		}
	}
	if d.preserveClientIP && spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
		d.warn(ReasonAdvice, "annotation %s \"on\" is for Kubernetes to do: set spec.externalTrafficPolicy: Local", d.KeyOf("preserve-client-ip"))
	}
}
