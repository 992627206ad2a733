// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/fairlead-io/fairlead/pkg/ipam"
)

// The keys of the annotations.
const (
	AddressPoolKey        = "fairlead.dev/address-pool"
	AddressesKey          = "fairlead.dev/addresses"
	AddressRangeKey       = "fairlead.dev/address-range"
	AddressesPerFamilyKey = "fairlead.dev/addresses-per-family"
	SharingKeyKey         = "fairlead.dev/sharing-key"
	IDKey                 = "fairlead.dev/id"
)

// maxAddressesPerFamily bounds addresses-per-family: more than this is a slip of the finger.
const maxAddressesPerFamily = 16

type row struct {
	key   string
	parse func(value string, settings *Settings) error
}

func table() []row {
	return []row{
		{AddressPoolKey, parsePools},
		{AddressesKey, parseAddresses},
		{AddressRangeKey, parseRange},
		{AddressesPerFamilyKey, parsePerFamily},
		{SharingKeyKey, parseSharingKey},
		{IDKey, parseID},
	}
}

// list splits a value at commas and trims its items; an empty item is an error.
func list(value string) ([]string, error) {
	items := strings.Split(value, ",")
	for i, item := range items {
		if items[i] = strings.TrimSpace(item); items[i] == "" {
			return nil, errors.New("expected a list separated by commas, without empty items")
		}
	}
	return items, nil
}

func parsePools(value string, settings *Settings) error {
	names, err := list(value)
	if err != nil {
		return err
	}
	for _, name := range names {
		if messages := validation.IsDNS1123Subdomain(name); len(messages) > 0 {
			return fmt.Errorf("%q is no name of an AddressPool: %s", name, messages[0])
		}
	}
	settings.Pools = names
	return nil
}

func parseAddresses(value string, settings *Settings) error {
	items, err := list(value)
	if err != nil {
		return err
	}
	var addresses []netip.Addr
	for _, item := range items {
		address, err := netip.ParseAddr(item)
		if err != nil || address.Zone() != "" || address.Is4In6() {
			return fmt.Errorf("%q is no IP address such as 10.0.0.100 or fd00:10::1", item)
		}
		for _, other := range addresses {
			if ipam.FamilyOf(other) == ipam.FamilyOf(address) {
				return fmt.Errorf("%s and %s are both %s: expected at most one address per family",
					other, address, ipam.FamilyOf(address))
			}
		}
		addresses = append(addresses, address)
	}
	settings.Addresses = addresses
	return nil
}

func parseRange(value string, settings *Settings) error {
	parsed, err := ipam.ParseRange(strings.TrimSpace(value))
	if err != nil {
		return err
	}
	settings.Range = parsed
	return nil
}

func parsePerFamily(value string, settings *Settings) error {
	n, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || n < 1 || n > maxAddressesPerFamily {
		return fmt.Errorf("expected a whole number from 1 to %d", maxAddressesPerFamily)
	}
	settings.AddressesPerFamily = n
	return nil
}

func parseSharingKey(value string, settings *Settings) error {
	key := strings.TrimSpace(value)
	if messages := validation.IsValidLabelValue(key); key == "" || len(messages) > 0 {
		return errors.New("expected 1 to 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit")
	}
	settings.SharingKey = key
	return nil
}

func parseID(value string, settings *Settings) error {
	id := strings.TrimSpace(value)
	if !regexp.MustCompile(`^[a-z0-9]([-a-z0-9._]{0,61}[a-z0-9])?$`).MatchString(id) {
		return errors.New("expected the spec.id of a VirtualIP: 1 to 63 lower-case letters, digits, '-', '_' and '.'")
	}
	settings.ID = id
	return nil
}
