// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/placement"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// setCandidates brings the candidates of a VirtualIP up to date, of which current are those to keep if they may stay, and
// counts the epoch on where they change. Which nodes announce by BGP is for their announcers to tell, which learn the
// rules from here.
func (r *Reconciler) setCandidates(spec *v1alpha1.VirtualIPSpec, current []string) {
	spec.NodeRules = r.config.Rules.of(wishes(spec)).onRecord()
	candidates := r.book.revise(func(load placement.Load) []string { return r.place(spec, current, load) })
	if !slices.Equal(candidates, spec.Candidates) {
		spec.Candidates = candidates
		spec.Epoch++
	}
}

// place returns the candidates of an address, in order: those it has and that may stay stay where they are. Where no node
// is eligible now, the candidates stay: an address without an announcer helps nobody. But where its Services select nodes
// and there are none, that is what they want.
func (r *Reconciler) place(spec *v1alpha1.VirtualIPSpec, current []string, load placement.Load) []string {
	addr, err := netip.ParseAddr(spec.Address)
	if err != nil {
		return nil
	}
	want := wishes(spec)
	if selectsNone(r.nodesWithAgents(), want) {
		return nil
	}
	nodes, names := r.mayOwn(spec, addr, want)
	if len(names) == 0 {
		return spec.Candidates
	}
	return placement.Revise(addr, current, load, ranked(names, nodes, want.Zones), placement.LimitFor(len(nodes)))
}

// mayOwn returns the names of the nodes that may own an address, and the nodes they are of. Where only endpoints on the node
// serve, one that is to give its addresses away has them as long as no other has such endpoints: anywhere else nothing would
// come of the traffic. Those that are about to end serve while there are no others. A node that is excluded by label keeps
// what it has and gets nothing.
func (r *Reconciler) mayOwn(spec *v1alpha1.VirtualIPSpec, addr netip.Addr, want settings.AddressSettings) (nodes []announcerNode, names []string) {
	nodes = r.announcerNodes(want)
	ready := r.withEndpoints(spec.Services, isReady)
	if names = eligible(nodes, addr, spec.Announce, ready); len(names) > 0 || ready == nil {
		return nodes, names
	}
	rules := r.config.Rules.of(want)
	all := slices.DeleteFunc(r.nodesWithAgents(), func(candidate announcerNode) bool {
		return hindrance(candidate.node, rules) == whyExcluded && !slices.Contains(spec.Candidates, candidate.node.Name)
	})
	for _, with := range []map[string]bool{ready, r.withEndpoints(spec.Services, isServing)} {
		if names = eligible(all, addr, spec.Announce, with); len(names) > 0 {
			return all, names
		}
	}
	return nodes, eligible(nodes, addr, spec.Announce, nil)
}

// announcerNodes returns the nodes that have an agent and may announce an address of which that is wished.
func (r *Reconciler) announcerNodes(want settings.AddressSettings) []announcerNode {
	rules := r.config.Rules.of(want)
	return slices.DeleteFunc(r.nodesWithAgents(), func(candidate announcerNode) bool { return !mayAnnounce(candidate.node, rules) })
}

// nodesWithAgents returns the nodes that have an agent.
func (r *Reconciler) nodesWithAgents() []announcerNode {
	announcers, err := r.config.Objects.Announcers().Lister().List(labels.Everything())
	if err != nil {
		return nil // a lister of a cache does not fail
	}
	var nodes []announcerNode
	for _, announcer := range announcers {
		node, err := r.config.Nodes.Lister().Get(announcer.Name)
		if err == nil {
			nodes = append(nodes, announcerNode{node: node, interfaces: announcer.Status.Interfaces})
		}
	}
	return nodes
}

// withEndpoints returns the nodes that hold such endpoints of every Service on the address whose externalTrafficPolicy is
// Local; nil where there is no such Service.
func (r *Reconciler) withEndpoints(claims []v1alpha1.ServiceClaim, such func(discoveryv1.EndpointConditions) bool) map[string]bool {
	return localNodes(claims, func(namespace, name string) map[string]bool {
		slices, err := r.config.EndpointSlices.Lister().EndpointSlices(namespace).
			List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: name}))
		if err != nil {
			return map[string]bool{} // a lister of a cache does not fail
		}
		return nodesOf(slices, such)
	})
}
