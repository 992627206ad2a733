// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/bgp/community"
	"github.com/fairlead-io/fairlead/pkg/ipam"
)

// poolSpec translates an AddressPool. The error names every field that cannot be read; the spec then holds what can be,
// and is disabled: what is assigned stays known, and nothing more is handed out of a pool that is half understood.
func poolSpec(pool *v1alpha1.AddressPool) (ipam.PoolSpec, error) {
	var errs []error
	spec := ipam.PoolSpec{
		Name:            pool.Name,
		Created:         pool.CreationTimestamp.Time,
		AvoidEdges:      pool.Spec.AvoidEdges,
		AutoAssign:      ptr.Deref(pool.Spec.AutoAssign, true),
		Priority:        pool.Spec.Priority,
		Disabled:        pool.Spec.Disabled,
		Namespaces:      pool.Spec.Namespaces,
		MaxPerNamespace: int(pool.Spec.MaxPerNamespace),
	}
	spec.Addresses = ranges("spec.addresses", pool.Spec.Addresses, &errs)
	spec.Excluded = ranges("spec.excluded", pool.Spec.Excluded, &errs)
	spec.NamespaceSelector = selector("spec.namespaceSelector", pool.Spec.NamespaceSelector, &errs)
	spec.ServiceSelector = selector("spec.serviceSelector", pool.Spec.ServiceSelector, &errs)
	errs = append(errs, announceErrors(pool)...)
	if len(errs) > 0 {
		spec.Disabled = true
	}
	return spec, errors.Join(errs...)
}

// announceErrors names what is wrong with how a pool is to be announced. The API server lets no such pool in; one that was
// made under an older schema may be there.
func announceErrors(pool *v1alpha1.AddressPool) []error {
	var errs []error
	for i, entry := range pool.Spec.Announce {
		if entry.BGP == nil {
			continue
		}
		for j, text := range entry.BGP.Communities {
			if _, err := community.Parse(string(text)); err != nil {
				errs = append(errs, fmt.Errorf("spec.announce[%d].bgp.communities[%d]: %w", i, j, err))
			}
		}
	}
	return errs
}

func ranges(field string, texts []v1alpha1.AddressRange, errs *[]error) []ipam.Range {
	var parsed []ipam.Range
	for i, text := range texts {
		r, err := ipam.ParseRange(string(text))
		if err != nil {
			*errs = append(*errs, fmt.Errorf("%s[%d] %q: %w", field, i, text, err))
			continue
		}
		if part, what := r.Special(); what != "" && field == "spec.addresses" {
			*errs = append(*errs, fmt.Errorf("%s[%d] %q: %s: %s, expected addresses that a host can have", field, i, text, part, what))
			continue
		}
		for _, other := range parsed {
			if shared, ok := other.Intersect(r); ok && field == "spec.addresses" {
				*errs = append(*errs, fmt.Errorf("%s[%d] %q: overlaps %s of the same pool in %s", field, i, text, other, shared))
			}
		}
		parsed = append(parsed, r)
	}
	return parsed
}

func selector(field string, from *metav1.LabelSelector, errs *[]error) ipam.Selector {
	if from == nil {
		return nil
	}
	parsed, err := metav1.LabelSelectorAsSelector(from)
	if err != nil {
		*errs = append(*errs, fmt.Errorf("%s: %w", field, err))
		return func(map[string]string) bool { return false }
	}
	return func(have map[string]string) bool { return parsed.Matches(labels.Set(have)) }
}
