// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Choice is an address to claim, and the pool it is from.
type Choice struct {
	Address netip.Addr
	Pool    string
}

// Pick chooses an address for the request and takes nothing: the caller claims
// it and then calls Take or Put, or, if the claim failed because another leader
// was quicker, Put with an empty Holder.Key and Pick again.
//
// The order is: the address asked for; an address that is reserved for the
// Service; the lowest free address of the first pool of Select that has one.
// The error is a *NoAddressError, or a *TakenError for an address asked for.
func (x *Index) Pick(req Request, now time.Time) (Choice, error) {
	x.Expire(now)
	if req.Address.IsValid() {
		return x.pickAddress(req)
	}
	candidates, refusals := Select(x.specs, req)
	within := req.Within
	if within.IsEmpty() {
		within = req.Family.Range()
	}
	for _, spec := range candidates {
		addr, ok := x.reservedFor(x.byName[spec.Name], req.Key, within)
		if ok && (x.isCharged(addr, spec, req) || !x.overLimit(spec, req)) {
			return Choice{Address: addr, Pool: spec.Name}, nil
		}
	}
	candidates = slices.DeleteFunc(candidates, func(spec PoolSpec) bool {
		over := x.overLimit(spec, req)
		if over {
			refusals = append(refusals, x.limited(spec, req))
		}
		return over
	})
	for _, spec := range candidates {
		if addr, ok := x.byName[spec.Name].taken.lowestFree(within); ok {
			return Choice{Address: addr, Pool: spec.Name}, nil
		}
		full := refusal(spec, ReasonFull, req)
		full.Usage = x.Usage(spec.Name, req.family())
		refusals = append(refusals, full)
	}
	return Choice{}, &NoAddressError{Request: req, Refusals: refusals}
}

// pickAddress returns the address asked for, if it is the Service's already or
// free in a pool that is for the Service.
func (x *Index) pickAddress(req Request) (Choice, error) {
	if err := x.available(req.Address, req.Key); err != nil {
		return Choice{}, err
	}
	if holder, ok := x.Holder(req.Address); ok {
		return Choice{Address: req.Address, Pool: holder.Pool}, nil
	}
	p := x.locate(req.Address)
	if p == nil {
		return Choice{}, &NoAddressError{Request: req, Refusals: x.holdingBack(req)}
	}
	var refusals []Refusal
	switch spec := p.spec; {
	case len(req.Pools) > 0 && !slices.Contains(req.Pools, spec.Name):
		for _, name := range req.Pools {
			refusals = append(refusals, refusal(PoolSpec{Name: name}, ReasonAddress, req))
		}
	case req.Had:
		return Choice{Address: req.Address, Pool: spec.Name}, nil
	case spec.refuse(req) != "":
		refusals = append(refusals, refusal(spec, spec.refuse(req), req))
	case x.overLimit(spec, req) && !x.isCharged(req.Address, spec, req):
		refusals = append(refusals, x.limited(spec, req))
	default:
		return Choice{Address: req.Address, Pool: spec.Name}, nil
	}
	return Choice{}, &NoAddressError{Request: req, Refusals: refusals}
}

// Admit returns why the Service cannot use an address that came from the pool
// beside others, or one that a user set aside in it: an error that wraps
// ErrNotAllowed where the pool is for other namespaces or Services. It asks
// nothing else of the pool, which hands out no address by that. A pool that
// does not exist admits everybody.
func (x *Index) Admit(poolName string, req Request) error {
	p := x.byName[poolName]
	if p == nil {
		return nil
	}
	if reason := p.spec.estrange(req); reason != "" {
		return fmt.Errorf("%w: %s", ErrNotAllowed, refusal(p.spec, reason, req))
	}
	return nil
}

// holdingBack returns a refusal for each pool that has the address asked for in
// its ranges and does not hand it out: excluded, an edge, or a node's.
func (x *Index) holdingBack(req Request) []Refusal {
	var refusals []Refusal
	for _, p := range x.pools {
		if p.all.Contains(req.Address) {
			refusals = append(refusals, refusal(p.spec, ReasonAddress, req))
		}
	}
	return refusals
}

// overLimit reports whether the namespace has all it may have of the pool.
func (x *Index) overLimit(spec PoolSpec, req Request) bool {
	return spec.MaxPerNamespace > 0 && x.InNamespace(spec.Name, req.Namespace) >= spec.MaxPerNamespace
}

// isCharged reports whether addr is kept, and so among the addresses that the
// namespace has of the pool already.
func (x *Index) isCharged(addr netip.Addr, spec PoolSpec, req Request) bool {
	account := x.holds.byAddr[addr].charged
	return account != nil && account.poolNamespace == poolNamespace{spec.Name, req.Namespace}
}

// limited returns the refusal of a namespace that has all it may have.
func (x *Index) limited(spec PoolSpec, req Request) Refusal {
	over := refusal(spec, ReasonLimit, req)
	if account := x.accounts[poolNamespace{spec.Name, req.Namespace}]; account != nil {
		over.Kept = account.kept
	}
	return over
}
