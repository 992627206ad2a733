// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/utils/ptr"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// maxPrefixes is the number of CIDRs that the API takes.
const maxPrefixes = 1024

// accessDraft is what annotations say of access control.
type accessDraft struct {
	allow, deny []netip.Prefix
	on          *bool
	kind        string // white or black
	names       []string
	allowing    bool
}

// networks reads CIDRs, addresses, and names of access lists of the cloud config.
func networks(to func(d *draft, networks []netip.Prefix)) parser {
	return func(d *draft, value string) (string, error) {
		items, err := list(value)
		if err != nil {
			return "", err
		}
		var all []netip.Prefix
		for _, item := range items {
			if named, ok := d.config.AccessLists[item]; ok {
				all = append(all, prefixes(named)...)
				continue
			}
			prefix, err := parsePrefix(item)
			if err != nil {
				return "", fmt.Errorf("%q: expected a CIDR such as 10.1.0.0/16, or an access list of the cloud config (accessLists): %s",
					item, knownNames(d.config.AccessLists))
			}
			all = append(all, prefix)
		}
		to(d, all)
		return strings.Join(items, ","), nil
	}
}

// prefixes reads CIDRs that have been checked; one that cannot be read is left out.
func prefixes(texts []string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		if prefix, err := parsePrefix(strings.TrimSpace(text)); err == nil {
			all = append(all, prefix)
		}
	}
	return all
}

func parseACLNames(d *draft, value string) (string, error) {
	names, err := list(value)
	if err != nil {
		return "", err
	}
	d.access.names = names
	return strings.Join(slices.Sorted(slices.Values(names)), ","), nil
}

func parseACLType(d *draft, value string) (string, error) {
	kind, err := oneOf("white", "black")(d, value)
	d.access.kind = kind
	return kind, err
}

// finishAccess makes one list of whom to allow and one of whom to deny. Several limits hold all at once: a client must be
// allowed by each.
func (d *draft) finishAccess() {
	limits := d.finishACL()
	if d.access.allowing {
		limits = append(limits, d.access.allow)
	}
	if ranges := d.service.Spec.LoadBalancerSourceRanges; len(ranges) > 0 {
		limits = append(limits, prefixes(ranges))
	}
	control := &v1alpha1.AccessControl{}
	if len(limits) > 0 {
		allowed := limits[0]
		for _, limit := range limits[1:] {
			allowed = intersect(allowed, limit)
		}
		control.Allow = canonical(allowed)
		if len(control.Allow) == 0 {
			d.warn(ReasonAdvice, "annotations and spec.loadBalancerSourceRanges together allow no client at all: all are denied")
			d.access.deny = everything()
		}
	}
	control.Deny = canonical(d.access.deny)
	if len(control.Allow) > maxPrefixes || len(control.Deny) > maxPrefixes {
		var by []string
		if len(d.service.Spec.LoadBalancerSourceRanges) > 0 {
			by = append(by, "spec.loadBalancerSourceRanges")
		}
		for _, setting := range []string{"access-control-allow", "access-control-deny", "acl-id"} {
			if d.set(setting) {
				by = append(by, d.KeyOf(setting))
			}
		}
		d.errs = append(d.errs, fmt.Errorf("access control by %s has %d CIDRs to allow and %d to deny: expected at most %d of each",
			strings.Join(by, ", "), len(control.Allow), len(control.Deny), maxPrefixes))
	}
	if len(control.Allow) > 0 || len(control.Deny) > 0 {
		d.AccessControl = control
	}
}

// finishACL reads the three annotations that name lists of the cloud config. A list to allow that has nothing in it
// allows nobody.
func (d *draft) finishACL() (limits [][]netip.Prefix) {
	if d.access.on == nil && d.set("acl-id") {
		d.unswitched("acl-id", "acl-status")
	}
	if !ptr.Deref(d.access.on, false) {
		return nil
	}
	if d.access.kind == "" {
		d.errs = append(d.errs, fmt.Errorf("annotation %s is on: expected acl-type white or black beside it", d.KeyOf("acl-status")))
		return nil
	}
	var listed []netip.Prefix
	for _, name := range d.access.names {
		texts, ok := d.config.AccessLists[name]
		if !ok {
			d.wrong("acl-id", name, "expected an access list of the cloud config (accessLists): %s", knownNames(d.config.AccessLists))
		}
		listed = append(listed, prefixes(texts)...)
	}
	if d.access.kind == "black" {
		d.access.deny = append(d.access.deny, listed...)
		return nil
	}
	return [][]netip.Prefix{listed}
}

// everything returns the networks that hold all addresses.
func everything() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
}

// intersect returns the networks whose addresses are in both lists.
func intersect(a, b []netip.Prefix) []netip.Prefix {
	var both []netip.Prefix
	for _, x := range a {
		for _, y := range b {
			switch {
			case !x.Overlaps(y):
			case x.Bits() >= y.Bits():
				both = append(both, x)
			default:
				both = append(both, y)
			}
		}
	}
	return both
}

// canonical returns the texts of networks, each once and in order, without those inside another.
func canonical(all []netip.Prefix) []string {
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, netip.Prefix.Compare)
	var texts []string
	var kept []netip.Prefix
	for _, prefix := range slices.Compact(sorted) {
		inside := slices.ContainsFunc(sorted, func(other netip.Prefix) bool {
			return other.Bits() < prefix.Bits() && other.Contains(prefix.Addr())
		})
		if !inside {
			kept = append(kept, prefix)
		}
	}
	for _, prefix := range kept {
		texts = append(texts, prefix.String())
	}
	return texts
}
