// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/l2"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

// nodeView is what this node knows of itself, as far as a decision about an address depends on it.
type nodeView struct {
	name string
	// labels of the Node object; nil while it has not been read, when no selector matches.
	labels labels.Set
	links  []l2.Link
	// kubeProxyDead: its health endpoint has not answered for some time.
	kubeProxyDead bool
	// gatewayLost: the gateway has answered before, and does no more.
	gatewayLost bool
	// routers are the BGPPeers that take routes from this node now, sorted.
	routers []string
	// cordoned: no new pods go to the node.
	cordoned bool
	// rules counts the changes of access control on this node.
	rules int
}

// programming is whether kube-proxy of this node is known to forward an address, and if not, why.
type programming uint8

const (
	programmingUnknown programming = iota
	programmed
	notProgrammed
	withoutEndpoint
)

// addressView is what this node knows of one address.
type addressView struct {
	spec        *v1alpha1.VirtualIPSpec
	programming programming
	// fresh: nobody in the cluster has announced the address yet.
	fresh bool
	// refusing: the rules that refuse clients are in place, as far as there are any; if not, unruled tells why.
	refusing bool
	unruled  string
	health   condition
}

// decision is what the views mean for one address.
type decision struct {
	// configured: the address is announced on layer 2 at all, by whichever node.
	configured bool
	// candidate: this node is among those that may.
	candidate bool
	// interfaces are the globs to choose from; empty means by subnet.
	interfaces []string
	// fallback: no interface has a subnet with the address, and the one with the default route is used.
	fallback bool
	// probe: search for another user before the first announcement.
	probe bool
	// gate of this node for the address, once gateKnown.
	gate      ownership.Gate
	gateKnown bool
	// patience is how long this node, if it announces the address, waits before it asks another one to.
	patience time.Duration
	// reason tells in words why the gate is not open.
	reason string
	// unhealthy: all is well but for the health check.
	unhealthy bool
	// route is what this node says of its part in routing the address by BGP.
	route ownership.Route
}

// decide is the whole policy of a node about an address. Which of the nodes with an open gate announces is for
// pkg/ownership.
//
// What makes it impossible to announce closes the gate; what makes traffic likely to fail ranks the node behind those
// where it will not, and is overlooked where all nodes fail alike: a wrong check must not take a Service down.
func decide(node nodeView, a addressView) decision {
	l2s := l2Announcements(a.spec.Announce)
	d := decision{configured: len(l2s) > 0, candidate: slices.Contains(a.spec.Candidates, node.name)}
	d.route = routing(node, a)
	chosen := matching(l2s, node.labels)
	// Where nobody may announce, or nobody is served, the one that announces lets go. Otherwise it waits for the one that takes
	// over.
	idle := len(a.spec.Services) == 0
	if letGo := len(a.spec.Candidates) == 0 && (chosen == nil || idle); !d.configured || !d.candidate && !letGo {
		return d
	}
	d.gateKnown = true
	if idle && !d.candidate {
		d.gate, d.reason = ownership.GateClosed, "no Service uses the address"
		return d
	}
	if chosen == nil {
		d.gate, d.reason = ownership.GateClosed, "no l2 nodeSelector of the address matches this node"
		return d
	}
	d.interfaces = chosen.Interfaces
	d.probe = chosen.Probe == nil || *chosen.Probe
	addr, err := parseAddress(a.spec.Address)
	if err != nil {
		d.gate, d.reason = ownership.GateClosed, err.Error()
		return d
	}
	choice := l2.Choose(node.links, addr, chosen.Interfaces)
	d.fallback = choice.Fallback
	switch {
	case len(choice.Links) == 0:
		d.gate, d.reason = ownership.GateClosed, noLink(chosen.Interfaces)
	case !a.refusing:
		d.gate, d.reason = ownership.GateClosed, a.unruled
	case node.kubeProxyDead:
		d.gate, d.reason = ownership.GateUnhealthy, "kube-proxy of this node does not answer its health check"
	case node.gatewayLost:
		d.gate, d.reason = ownership.GateUnhealthy, "the gateway does not answer this node any more"
		if (a.programming == programmed || a.programming == programmingUnknown) && a.health.failure == "" {
			d.patience = gatewayPatience
		}
	case a.programming == notProgrammed:
		d.gate, d.reason = ownership.GateUnhealthy, "kube-proxy of this node has not programmed the address"
	case a.programming == withoutEndpoint:
		d.gate, d.reason = ownership.GateUnhealthy, "kube-proxy of this node knows no ready endpoint here, and externalTrafficPolicy is Local"
	case a.programming == programmingUnknown:
		// A fresh address can be claimed, and searched for on the network, while kube-proxy gets to know it; it is
		// announced only after that.
		d.gateKnown = a.fresh
	case a.health.failure != "":
		d.gate, d.reason, d.unhealthy = ownership.GateUnhealthy, a.health.failure, true
	}
	return d
}

// routing decides what the other nodes are told about BGP: whether the health check passes where this node announces the
// address. Without a health check nothing is said, for nobody has to stand in for anybody.
func routing(node nodeView, a addressView) ownership.Route {
	switch {
	case !probed(a.spec) || !a.refusing || !routedBy(a.spec, node):
		return ownership.RouteNone
	case a.health.failure != "":
		return ownership.RouteFailing
	case a.health.checked && (a.programming == programmed || a.programming == programmingUnknown):
		return ownership.RouteHealthy
	}
	return ownership.RouteNone
}

// routedBy tells whether a router takes a route to the address from this node, and will go on doing so.
func routedBy(spec *v1alpha1.VirtualIPSpec, node nodeView) bool {
	if node.cordoned && leavesOnCordon(spec.NodeRules) || excluded(node.labels, spec.NodeRules) {
		return false
	}
	return slices.ContainsFunc(spec.Announce, func(a v1alpha1.Announcement) bool {
		return a.BGP != nil && selects(a.BGP.NodeSelector, node.labels) && slices.ContainsFunc(node.routers, func(peer string) bool {
			return len(a.BGP.Peers) == 0 || slices.Contains(a.BGP.Peers, peer)
		})
	})
}

// probed tells whether a Service on the address has a health check.
func probed(spec *v1alpha1.VirtualIPSpec) bool {
	return slices.ContainsFunc(spec.Services, func(c v1alpha1.ServiceClaim) bool { return c.HealthCheck != nil })
}

func l2Announcements(all []v1alpha1.Announcement) []*v1alpha1.L2Announcement {
	var out []*v1alpha1.L2Announcement
	for _, a := range all {
		if a.L2 != nil {
			out = append(out, a.L2)
		}
	}
	return out
}

// matching returns the first announcement that wants this node. A selector that cannot be parsed matches nothing.
func matching(l2s []*v1alpha1.L2Announcement, node labels.Set) *v1alpha1.L2Announcement {
	for _, a := range l2s {
		if a.NodeSelector == nil || node != nil && selects(a.NodeSelector, node) {
			return a
		}
	}
	return nil
}

func noLink(globs []string) string {
	if len(globs) == 0 {
		return "no interface of this node that is up has a subnet with the address, or the default route"
	}
	return fmt.Sprintf("no interface of this node that is up matches %s", strings.Join(globs, ", "))
}
