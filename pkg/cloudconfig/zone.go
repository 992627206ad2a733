// SPDX-License-Identifier: Apache-2.0

package cloudconfig

import (
	"net/netip"
	"path"
	"slices"
)

// Zone returns the zone and region of a node by the first rule that matches its name, one of its internal addresses, or
// its labels; both are empty where no rule does.
func (c *Config) Zone(name string, addresses []netip.Addr, labels map[string]string) (zone, region string) {
	for _, rule := range c.Zones {
		if rule.matches(name, addresses, labels) {
			return rule.Zone, rule.Region
		}
	}
	return "", ""
}

func (r ZoneRule) matches(name string, addresses []netip.Addr, labels map[string]string) bool {
	for _, pattern := range r.Names {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			return true
		}
	}
	for _, cidr := range r.CIDRs {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			continue // refused by validate
		}
		if slices.ContainsFunc(addresses, prefix.Contains) {
			return true
		}
	}
	return len(r.Labels) > 0 && containsAll(labels, r.Labels)
}

func containsAll(have, want map[string]string) bool {
	for key, value := range want {
		if got, ok := have[key]; !ok || got != value {
			return false
		}
	}
	return true
}
