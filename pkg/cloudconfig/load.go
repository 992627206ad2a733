// SPDX-License-Identifier: Apache-2.0

package cloudconfig

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"

	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// Load reads the file of that name. An empty name gives the defaults.
func Load(name string) (*Config, error) {
	if name == "" {
		return Default(), nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the cloud config: %w", err)
	}
	config, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("cloud config %s: %w", name, err)
	}
	return config, nil
}

// Parse reads a configuration, sets defaults and validates it. The error holds all that is wrong.
func Parse(data []byte) (*Config, error) {
	config := &Config{}
	if err := yaml.UnmarshalStrict(data, config); err != nil {
		return nil, err
	}
	if config.APIVersion != APIVersion || config.Kind != Kind {
		return nil, fmt.Errorf("apiVersion %q, kind %q: expected apiVersion %q, kind %q",
			config.APIVersion, config.Kind, APIVersion, Kind)
	}
	config.setDefaults()
	if err := config.validate().ToAggregate(); err != nil {
		return nil, err
	}
	return config, nil
}

func (c *Config) validate() field.ErrorList {
	var errs field.ErrorList
	for _, message := range validation.IsDNS1123Label(c.Namespace) {
		errs = append(errs, field.Invalid(field.NewPath("namespace"), c.Namespace, message))
	}
	policy := field.NewPath("nodes", "excludeLabel")
	switch c.Nodes.ExcludeLabel {
	case ExcludeLabelHonor, ExcludeLabelIgnore:
	default:
		errs = append(errs, field.NotSupported(policy, c.Nodes.ExcludeLabel,
			[]ExcludeLabelPolicy{ExcludeLabelHonor, ExcludeLabelIgnore}))
	}
	switch c.Nodes.DeadNodeEndpoints {
	case DeadNodeMarkNotReady, DeadNodeLeave:
	default:
		errs = append(errs, field.NotSupported(field.NewPath("nodes", "deadNodeEndpoints"), c.Nodes.DeadNodeEndpoints,
			[]DeadNodePolicy{DeadNodeMarkNotReady, DeadNodeLeave}))
	}
	for i, rule := range c.Zones {
		errs = append(errs, rule.validate(field.NewPath("zones").Index(i))...)
	}
	return append(errs, c.Settings.validate(field.NewPath("settings"))...)
}

func (s Settings) validate(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	known := []string{"alibaba-cloud", "metallb", "kube-vip"}
	for i, dialect := range s.DisabledDialects {
		if !slices.Contains(known, dialect) {
			errs = append(errs, field.NotSupported(at.Child("disabledDialects").Index(i), dialect, known))
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(s.AddressTypes)) {
		pools, path := s.AddressTypes[kind], at.Child("addressTypes").Key(kind)
		if kind == "" || kind != strings.ToLower(kind) {
			errs = append(errs, field.Invalid(path, kind, "expected a name in lower case"))
		}
		if len(pools) == 0 {
			errs = append(errs, field.Required(path, "names of AddressPools"))
		}
		for i, pool := range pools {
			for _, message := range validation.IsDNS1123Subdomain(pool) {
				errs = append(errs, field.Invalid(path.Index(i), pool, message))
			}
		}
	}
	if kind := s.DefaultAddressType; kind != "" && len(s.AddressTypes[kind]) == 0 {
		errs = append(errs, field.Invalid(at.Child("defaultAddressType"), kind, "expected a key of addressTypes"))
	}
	for _, name := range slices.Sorted(maps.Keys(s.AccessLists)) {
		for i, cidr := range s.AccessLists[name] {
			if prefix, err := netip.ParsePrefix(cidr); err != nil || prefix.Addr().Is4In6() {
				errs = append(errs, field.Invalid(at.Child("accessLists").Key(name).Index(i), cidr, "expected a CIDR such as 10.1.0.0/16"))
			}
		}
	}
	return errs
}

func (r ZoneRule) validate(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r.Zone == "" {
		errs = append(errs, field.Required(at.Child("zone"), "the zone that matching nodes get"))
	}
	for name, value := range map[string]string{"zone": r.Zone, "region": r.Region} {
		for _, message := range validation.IsValidLabelValue(value) {
			errs = append(errs, field.Invalid(at.Child(name), value, message))
		}
	}
	matchers := 0
	for _, n := range []int{len(r.Names), len(r.CIDRs), len(r.Labels)} {
		if n > 0 {
			matchers++
		}
	}
	if matchers != 1 {
		errs = append(errs, field.Invalid(at, r.Zone, "expected exactly one of names, cidrs and labels"))
	}
	for i, pattern := range r.Names {
		if _, err := path.Match(pattern, ""); errors.Is(err, path.ErrBadPattern) {
			errs = append(errs, field.Invalid(at.Child("names").Index(i), pattern, "expected a name or a glob such as rack1-*"))
		}
	}
	for i, cidr := range r.CIDRs {
		if _, err := netip.ParsePrefix(cidr); err != nil {
			errs = append(errs, field.Invalid(at.Child("cidrs").Index(i), cidr, "expected a CIDR such as 10.1.0.0/16"))
		}
	}
	return append(errs, metav1validation.ValidateLabels(r.Labels, at.Child("labels"))...)
}
