// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/fairlead-io/fairlead/pkg/ipam"
)

const (
	// maxAddressesPerFamily bounds addresses-per-family: more than this is a slip of the finger.
	maxAddressesPerFamily = 16
	// maxSharingKey is the length that the API takes.
	maxSharingKey = 253
	// maxTags is the number that the API takes.
	maxTags = 64
	// defaultDrainSeconds is how long connections drain where that is switched on and no time is given.
	defaultDrainSeconds = 300
	// defaultAffinitySeconds is what Kubernetes makes of sessionAffinity ClientIP without a timeout.
	defaultAffinitySeconds = 10800
)

func seconds(n int64) *time.Duration { return new(time.Duration(n) * time.Second) }

// knownNames lists the keys of a map for an error.
func knownNames[T any](of map[string]T) string {
	if len(of) == 0 {
		return "it has none"
	}
	return alternatives(slices.Sorted(maps.Keys(of)))
}

func parsePools(d *draft, value string) (string, error) {
	names, err := list(value)
	if err != nil {
		return "", err
	}
	for _, name := range names {
		if err := parseName(name, "an AddressPool"); err != nil {
			return "", err
		}
	}
	d.Pools = names
	return strings.Join(names, ","), nil
}

// parseSubnet reads the pool that a Service never leaves.
func parseSubnet(d *draft, value string) (string, error) {
	if err := parseName(value, "an AddressPool"); err != nil {
		return "", err
	}
	d.Pools, d.PoolFixed = []string{value}, true
	return value, nil
}

// parseZoneMaps reads zone:pool[:IPv4[:address outside]],...: the pool of the first zone, and nodes of these zones only.
func parseZoneMaps(d *draft, value string) (string, error) {
	items, err := list(value)
	if err != nil {
		return "", err
	}
	var pool string // of the first zone
	for i, item := range items {
		parts := strings.Split(item, ":")
		if len(parts) < 2 || len(parts) > 4 || parts[0] == "" {
			return "", fmt.Errorf("%q: expected zone:pool or zone:pool:IPv4 address", item)
		}
		if err := parseName(parts[1], "an AddressPool"); err != nil {
			return "", err
		}
		if messages := validation.IsValidLabelValue(parts[0]); len(messages) > 0 {
			return "", fmt.Errorf("%q is no zone: %s", parts[0], messages[0])
		}
		d.onlyZones = append(d.onlyZones, parts[0])
		if i > 0 {
			if parts[1] != pool || len(parts) > 2 {
				d.ignored(item + " counts as a zone only: the address is that of the first zone")
			}
			continue
		}
		pool = parts[1]
		if d.wins("address-pool", slices.Equal(d.Pools, []string{pool})) {
			d.Pools, d.PoolFixed = []string{pool}, true
		}
		if len(parts) > 2 && parts[2] != "" {
			if err := d.wantAddress(parts[2]); err != nil {
				return "", err
			}
		}
		if len(parts) == 4 {
			d.ignored("there is no address in front of the address")
		}
	}
	return strings.Join(items, ","), nil
}

// wantAddress has the Service wait for one address, unless addresses are set by an annotation that wins.
func (d *draft) wantAddress(text string) error {
	address, err := parseAddress(text)
	if err != nil {
		return err
	}
	if d.wins("addresses", slices.Contains(d.Addresses, address)) {
		d.Addresses = []netip.Addr{address}
	}
	return nil
}

func parseAddresses(d *draft, value string) (string, error) {
	items, err := list(value)
	if err != nil {
		return "", err
	}
	var texts []string
	d.Addresses = nil
	for _, item := range items {
		address, err := parseAddress(item)
		if err != nil {
			return "", err
		}
		if other, ok := d.AddressOf(ipam.FamilyOf(address)); ok {
			return "", fmt.Errorf("%s and %s are both %s: expected at most one address per family", other, address, ipam.FamilyOf(address))
		}
		d.Addresses = append(d.Addresses, address)
		texts = append(texts, address.String())
	}
	return strings.Join(texts, ","), nil
}

func parseRange(d *draft, value string) (string, error) {
	parsed, err := ipam.ParseRange(value)
	if err != nil {
		return "", err
	}
	d.Range = parsed
	return parsed.String(), nil
}

func parseSharingKey(d *draft, value string) (string, error) {
	if messages := validation.IsValidLabelValue(value); len(messages) > 0 {
		return "", errors.New("expected 1 to 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit")
	}
	d.SharingKey = value
	return value, nil
}

// parseAnySharingKey takes what other programs take.
func parseAnySharingKey(d *draft, value string) (string, error) {
	if len(value) > maxSharingKey {
		return "", fmt.Errorf("expected at most %d characters", maxSharingKey)
	}
	d.SharingKey = value
	return value, nil
}

func parseID(d *draft, value string) (string, error) {
	edges := strings.Trim(value, "-._") == value
	if !edges || len(value) > 63 || strings.Trim(value, "abcdefghijklmnopqrstuvwxyz0123456789-._") != "" {
		return "", errors.New("expected the spec.id of a VirtualIP: 1 to 63 lower-case letters, digits, '-', '_' and '.'")
	}
	d.ID = value
	return value, nil
}

// parseIDOrAddress reads the name of a reservation, or its address.
func parseIDOrAddress(d *draft, value string) (string, error) {
	address, err := parseAddress(value)
	if err != nil {
		return parseID(d, value)
	}
	err = d.wantAddress(value)
	d.AddressFixed = d.made["addresses"].key == d.at.key
	return address.String(), err
}

func text(to func(d *draft) *string) parser {
	return func(d *draft, value string) (string, error) {
		*to(d) = strings.ToLower(value)
		return strings.ToLower(value), nil
	}
}

func parseIPVersion(d *draft, value string) (string, error) {
	canonical, err := oneOf("ipv4", "ipv6", "dualstack")(d, value)
	d.ipVersion = canonical
	return canonical, err
}

func parseDisplayName(d *draft, value string) (string, error) {
	if len(value) > validation.DNS1123SubdomainMaxLength {
		return "", fmt.Errorf("expected at most %d characters", validation.DNS1123SubdomainMaxLength)
	}
	d.DisplayName = value
	return value, nil
}

// parseTags reads k=v,k2=v2; the value may be missing.
func parseTags(d *draft, value string) (string, error) {
	items, err := list(value)
	if err != nil {
		return "", err
	}
	tags := map[string]string{}
	for _, item := range items {
		name, content, _ := strings.Cut(item, "=")
		name = strings.TrimSpace(name)
		if _, twice := tags[name]; name == "" || twice {
			return "", fmt.Errorf("%q: expected name=value, each name once", item)
		}
		tags[name] = strings.TrimSpace(content)
	}
	if len(tags) > maxTags {
		return "", fmt.Errorf("expected at most %d tags", maxTags)
	}
	d.Tags = tags
	return strings.Join(items, ","), nil
}

// parsePreserve reads a switch that, where it comes from, any value turns on.
func parsePreserve(d *draft, value string) (string, error) {
	switch strings.ToLower(value) {
	case "off", "false":
		d.warn(ReasonAdvice, "annotation %s %q is read as off, though elsewhere any value turns it on: remove it", d.at.key, d.at.value)
		return "off", nil
	}
	d.PreserveOnDelete = true
	return "on", nil
}
