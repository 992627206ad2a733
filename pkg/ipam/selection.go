// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"cmp"
	"net/netip"
	"slices"
)

// Request is what a Service asks for: one address of one family.
type Request struct {
	Key             string // "namespace/name" of the Service
	Namespace       string
	NamespaceLabels map[string]string
	ServiceLabels   map[string]string
	// Family is the family wanted; Address and Within have their own.
	Family Family
	// Address is the one address wanted; invalid if any will do.
	Address netip.Addr
	// Had says that the Service has had Address all along: the pool that has it
	// is asked for no policy, which is for those that come.
	Had bool
	// Pools names the pools to take it from, in order; any if empty.
	Pools []string
	// Within narrows the search to a range, which must lie inside one pool.
	Within Range
}

// family returns the family of what is asked for.
func (r Request) family() Family {
	switch {
	case r.Address.IsValid():
		return FamilyOf(r.Address)
	case !r.Within.IsEmpty():
		return r.Within.Family()
	}
	return r.Family
}

// wanted returns the part of the request that names addresses.
func (r Request) wanted() Range {
	if r.Address.IsValid() {
		return SingleAddress(r.Address)
	}
	return r.Within
}

// Select returns the pools that may serve the request, in the order in which
// they are tried, and why the others may not. Named pools come in the order
// named, and nothing else is tried; otherwise first those that select the
// namespace or the Service, then those that select nothing, each by priority
// and name.
//
// A pool without autoAssign is tried only if it is named, or if the request
// names addresses of it: that is as deliberate.
func Select(pools []PoolSpec, req Request) ([]PoolSpec, []Refusal) {
	var candidates []PoolSpec
	var refusals []Refusal
	consider := func(spec PoolSpec) {
		if reason := spec.refuse(req); reason != "" {
			refusals = append(refusals, refusal(spec, reason, req))
			return
		}
		candidates = append(candidates, spec)
	}
	if len(req.Pools) == 0 {
		for _, spec := range slices.SortedFunc(slices.Values(pools), byPreference) {
			consider(spec)
		}
		return candidates, refusals
	}
	for _, name := range req.Pools {
		i := slices.IndexFunc(pools, func(s PoolSpec) bool { return s.Name == name })
		if i < 0 {
			refusals = append(refusals, refusal(PoolSpec{Name: name}, ReasonNotFound, req))
			continue
		}
		consider(pools[i])
	}
	return candidates, refusals
}

// byPreference orders pools as they are tried when none is named.
func byPreference(a, b PoolSpec) int {
	first := func(spec PoolSpec) int {
		if spec.selects() {
			return 0
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(first(a), first(b)),
		cmp.Compare(b.Priority, a.Priority),
		cmp.Compare(a.Name, b.Name),
	)
}

// selects reports whether the pool is for some Services only.
func (s PoolSpec) selects() bool {
	return len(s.Namespaces) > 0 || s.NamespaceSelector != nil || s.ServiceSelector != nil
}

// refuse returns why the pool is not for the request, or "".
func (s PoolSpec) refuse(req Request) Reason {
	named := len(req.Pools) > 0 || !req.wanted().IsEmpty()
	switch stranger := s.estrange(req); {
	case stranger != "":
		return stranger
	case !s.AutoAssign && !named:
		return ReasonNamed
	case s.Disabled:
		return ReasonDisabled
	case !slices.ContainsFunc(s.Addresses, func(r Range) bool { return r.Family() == req.family() }):
		return ReasonFamily
	case !req.Within.IsEmpty() && !NewRangeSet(s.Addresses, nil, false).Covers(req.Within):
		return ReasonRange
	}
	return ""
}

// estrange returns why the pool is not for the Service at all, whatever it asks
// of the pool, or "".
func (s PoolSpec) estrange(req Request) Reason {
	switch {
	case !s.admitsNamespace(req):
		return ReasonNamespace
	case s.ServiceSelector != nil && !s.ServiceSelector(req.ServiceLabels):
		return ReasonService
	}
	return ""
}

func (s PoolSpec) admitsNamespace(req Request) bool {
	if len(s.Namespaces) == 0 && s.NamespaceSelector == nil {
		return true
	}
	return slices.Contains(s.Namespaces, req.Namespace) ||
		s.NamespaceSelector != nil && s.NamespaceSelector(req.NamespaceLabels)
}

func refusal(spec PoolSpec, reason Reason, req Request) Refusal {
	return Refusal{
		Pool:      spec.Name,
		Reason:    reason,
		Namespace: req.Namespace,
		Family:    req.family(),
		Range:     req.wanted(),
		Limit:     spec.MaxPerNamespace,
	}
}
