// SPDX-License-Identifier: Apache-2.0

package ownership

import (
	"net/netip"
	"slices"
)

// Route says what a node does with an address by way of routers, where any
// number of nodes may. The machine decides nothing about it: it carries the
// words of the nodes to one another, so that a node whose health check fails can
// tell whether another one serves the address.
type Route uint8

const (
	// RouteNone says that the node has no part in routing the address, or has said
	// nothing.
	RouteNone Route = iota
	// RouteHealthy says that the node routes the address and its health check passes.
	RouteHealthy
	// RouteFailing says that the node would route the address, and its health check fails.
	RouteFailing
)

// Routed is an event: what this node does with these addresses by way of
// routers. They need not be configured.
type Routed struct {
	Addresses []netip.Addr
	Route     Route
}

// RoutesChanged is an action: among the other live nodes, these route the
// address now, sorted. It is returned for addresses that this node takes part in
// routing.
type RoutesChanged struct {
	Address          netip.Addr
	Healthy, Failing []string
}

func (RoutesChanged) action() {}

func (ev Routed) apply(m *Machine) {
	for _, a := range ev.Addresses {
		r := m.record(a)
		r.route = ev.Route
		m.touch(r)
	}
}

// reportRoutes tells the caller when other nodes route the address than before.
func (m *Machine) reportRoutes(r *record) {
	now := RoutesChanged{Address: r.address}
	if r.route != RouteNone {
		for _, p := range r.routers {
			switch e := p.entries[r.address]; {
			case !p.alive:
			case e.Route == RouteHealthy:
				now.Healthy = append(now.Healthy, p.name)
			default:
				now.Failing = append(now.Failing, p.name)
			}
		}
		slices.Sort(now.Healthy)
		slices.Sort(now.Failing)
	}
	if slices.Equal(now.Healthy, r.routes.Healthy) && slices.Equal(now.Failing, r.routes.Failing) {
		return
	}
	r.routes = now
	if r.route != RouteNone {
		m.actions = append(m.actions, now)
	}
}

// AllUnhealthy reports whether the health check of every live candidate for the
// address fails, this node's among them.
func (m *Machine) AllUnhealthy(a netip.Addr) bool {
	r := m.records[a]
	if r == nil || !r.configured || m.rankOf(r, m.opt.Self) != rankUnhealthy {
		return false
	}
	return !slices.ContainsFunc(r.candidates, func(c string) bool { return m.rankOf(r, c) == rankFit })
}
