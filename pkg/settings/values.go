// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

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

// distinct reads a list as list does, has each item checked, and refuses one that is there twice, and more than most
// items; noun says what they are.
func distinct(value, noun string, most int, check func(item string) error) ([]string, error) {
	items, err := list(value)
	if err != nil {
		return nil, err
	}
	if len(items) > most {
		return nil, fmt.Errorf("%d items: expected at most %d", len(items), most)
	}
	for i, item := range items {
		if err := check(item); err != nil {
			return nil, err
		}
		if slices.Contains(items[:i], item) {
			return nil, fmt.Errorf("%s %s is there twice", noun, item)
		}
	}
	return items, nil
}

// parseFlag reads on or off, in any case.
func parseFlag(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "on":
		return true, nil
	case "off":
		return false, nil
	}
	return false, errors.New("expected on or off")
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// flag parses on or off into what to points to.
func flag(to func(d *draft) *bool) parser {
	return func(d *draft, value string) (string, error) {
		on, err := parseFlag(value)
		if err != nil {
			return "", err
		}
		*to(d) = on
		return onOff(on), nil
	}
}

// optionalFlag is flag for one that is told from its absence.
func optionalFlag(to func(d *draft) **bool) parser {
	return func(d *draft, value string) (string, error) {
		on, err := parseFlag(value)
		if err != nil {
			return "", err
		}
		*to(d) = &on
		return onOff(on), nil
	}
}

// parseNumber reads a decimal without sign or leading zeros that lies in a range.
func parseNumber(value string, least, most int64) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < least || n > most || strconv.FormatInt(n, 10) != value {
		return 0, fmt.Errorf("expected a whole number from %d to %d", least, most)
	}
	return n, nil
}

// number parses a decimal in a range, or one of the values that mean the default.
func number(least, most int64, to func(d *draft, n int64), unset ...string) parser {
	return func(d *draft, value string) (string, error) {
		if slices.Contains(unset, value) {
			return "", nil
		}
		n, err := parseNumber(value, least, most)
		if err != nil {
			return "", err
		}
		to(d, n)
		return strconv.FormatInt(n, 10), nil
	}
}

// Checks of rows that are ignored or refused.

func anything(_ *draft, value string) (string, error) { return value, nil }

func onlyFlag(_ *draft, value string) (string, error) {
	on, err := parseFlag(value)
	return onOff(on), err
}

func onlyNumber(least, most int64, unset ...string) parser {
	return number(least, most, func(*draft, int64) {}, unset...)
}

// oneOf checks that a value is one of a few, in any case.
func oneOf(values ...string) parser {
	return func(_ *draft, value string) (string, error) {
		for _, known := range values {
			if strings.EqualFold(known, value) {
				return known, nil
			}
		}
		return "", fmt.Errorf("expected %s", alternatives(values))
	}
}

// alternatives writes "a, b or c".
func alternatives(values []string) string {
	last := len(values) - 1
	if last < 1 {
		return strings.Join(values, "")
	}
	return strings.Join(values[:last], ", ") + " or " + values[last]
}

// parseAddress reads one IP address.
func parseAddress(text string) (netip.Addr, error) {
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" || address.Is4In6() {
		return netip.Addr{}, fmt.Errorf("%q is no IP address such as 10.0.0.100 or fd00:10::1", text)
	}
	return address, nil
}

// parsePrefix reads a CIDR, or an address, which is a CIDR of one. Bits behind the length are cleared.
func parsePrefix(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		address, aerr := parseAddress(text)
		if aerr != nil {
			return netip.Prefix{}, fmt.Errorf("%q is no CIDR such as 10.1.0.0/16 or fd00:1::/64", text)
		}
		prefix = netip.PrefixFrom(address, address.BitLen())
	}
	if prefix.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is an IPv4 address written as IPv6: expected 10.1.0.0/16 or fd00:1::/64", text)
	}
	return prefix.Masked(), nil
}

// parseName checks the name of a Kubernetes object.
func parseName(text, what string) error {
	if messages := validation.IsDNS1123Subdomain(text); len(messages) > 0 {
		return fmt.Errorf("%q is no name of %s: %s", text, what, messages[0])
	}
	return nil
}
