// SPDX-License-Identifier: Apache-2.0

package diagnosis

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

// shownEvents is the number of events in an answer.
const shownEvents = 5

// Address is what there is to say about an address.
type Address struct {
	Address string `json:"address"`
	Pool    string `json:"pool,omitempty"`
	// Services that use it, as namespace/name.
	Services []string `json:"services,omitempty"`
	// Node announces it on layer 2 now; empty where nobody does.
	Node  string       `json:"node,omitempty"`
	Since *metav1.Time `json:"since,omitempty"`
	// Announced tells whether anybody announces it, on layer 2 or by BGP.
	Announced bool `json:"announced"`
	// Summary says in a sentence who announces it and why.
	Summary    string             `json:"summary"`
	Nodes      []NodeOfAddress    `json:"nodes,omitempty"`
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	Events     []Event            `json:"events,omitempty"`
}

// NodeOfAddress is what a node has to do with an address.
type NodeOfAddress struct {
	Node string `json:"node"`
	// Place among the candidates on layer 2, from 1; 0 where the node is none.
	Place     int  `json:"place,omitempty"`
	Announces bool `json:"announces"`
	// Reason says in words why the node announces the address, or why not.
	Reason string `json:"reason"`
}

// Pending is a Service that waits for an address.
type Pending struct {
	Service string `json:"service"`
	Reason  string `json:"reason"`
}

// Answer is the answer to the question who has an address.
type Answer struct {
	Addresses []Address `json:"addresses,omitempty"`
	// Pending is set where a Service was asked for that waits for an address.
	Pending *Pending `json:"pending,omitempty"`
}

// OK tells whether somebody announces each of the addresses.
func (a *Answer) OK() bool {
	return a.Pending == nil && !slices.ContainsFunc(a.Addresses, func(one Address) bool { return !one.Announced })
}

// Who answers who has an address, or the addresses of a Service: subject is an IP address, name or namespace/name. The
// error says that there is neither.
func Who(c *Cluster, subject, namespace string) (Answer, error) {
	if address, err := netip.ParseAddr(subject); err == nil {
		for _, vip := range c.VirtualIPs {
			if vip.Spec.Address == address.String() {
				return Answer{Addresses: []Address{c.address(vip)}}, nil
			}
		}
		return Answer{}, fmt.Errorf("address %s: no VirtualIP has it, so no Service and no reservation", address)
	}
	name := subject
	if before, after, found := strings.Cut(subject, "/"); found {
		namespace, name = before, after
	}
	var answer Answer
	for _, vip := range c.VirtualIPs {
		if slices.ContainsFunc(vip.Spec.Services, func(claim v1alpha1.ServiceClaim) bool {
			return claim.Namespace == namespace && claim.Name == name
		}) {
			answer.Addresses = append(answer.Addresses, c.address(vip))
		}
	}
	if len(answer.Addresses) > 0 {
		return answer, nil
	}
	for _, service := range c.Services {
		if service.Namespace != namespace || service.Name != name {
			continue
		}
		if service.Spec.Type != corev1.ServiceTypeLoadBalancer {
			return Answer{}, fmt.Errorf("service %s/%s is of type %s: only those of type LoadBalancer have addresses", namespace, name, service.Spec.Type)
		}
		return Answer{Pending: c.pending(service)}, nil
	}
	return Answer{}, fmt.Errorf("no Service %s/%s, and %q is no IP address", namespace, name, subject)
}

// pending says why a Service waits.
func (c *Cluster) pending(service *corev1.Service) *Pending {
	pending := &Pending{Service: loadbalancer.Key(service.Namespace, service.Name)}
	events := c.lastEvents(len(c.Events), func(object corev1.ObjectReference) bool { return object.UID == service.UID })
	// A controller says at each attempt that it begins, and only once what is wrong.
	warning := slices.IndexFunc(events, func(event Event) bool { return event.Type == corev1.EventTypeWarning })
	switch {
	case v1alpha1.OtherClass(service):
		pending.Reason = fmt.Sprintf("spec.loadBalancerClass gives it to %s", *service.Spec.LoadBalancerClass)
	case c.elsewhere(service):
		pending.Reason = "an annotation gives it to another controller"
	case len(events) > 0:
		pending.Reason = events[max(warning, 0)].Message
	default:
		pending.Reason = "nothing has been said about it yet: is the cloud controller manager running?"
	}
	return pending
}

// address says what there is to say about an address.
func (c *Cluster) address(vip *v1alpha1.VirtualIP) Address {
	result := Address{
		Address: vip.Spec.Address, Pool: vip.Spec.Pool, Node: c.owner(vip), Conditions: vip.Status.Conditions,
		Nodes: c.nodesOf(vip),
	}
	if result.Node != "" {
		result.Since = vip.Status.Since
	}
	for _, claim := range vip.Spec.Services {
		result.Services = append(result.Services, loadbalancer.Key(claim.Namespace, claim.Name))
	}
	result.Announced = slices.ContainsFunc(result.Nodes, func(node NodeOfAddress) bool { return node.Announces })
	result.Summary = summary(&result, vip.Status.Node)
	result.Events = c.lastEvents(shownEvents, func(object corev1.ObjectReference) bool {
		switch object.Kind {
		case "VirtualIP":
			return object.Name == vip.Name
		case "Service":
			return slices.Contains(result.Services, loadbalancer.Key(object.Namespace, object.Name))
		}
		return false
	})
	return result
}

// summary says in a sentence who announces an address and why. Last is the node that reported last that it does.
func summary(address *Address, last string) string {
	var announcing, ahead []string
	for _, node := range address.Nodes {
		if node.Announces {
			announcing = append(announcing, node.Node)
			continue
		}
		if address.Node != "" && node.Place > 0 && node.Place < named(address.Nodes, address.Node).Place {
			ahead = append(ahead, fmt.Sprintf("%s comes before it, but %s", node.Node, node.Reason))
		}
	}
	switch {
	case len(address.Services) == 0:
		return "no Service uses the address"
	case len(announcing) == 0 && last != "":
		return "nobody announces the address: " + last + " " + cmp.Or(named(address.Nodes, last).Reason, "was the last to, and its Node is gone")
	case len(announcing) == 0:
		return "nobody announces the address"
	case len(ahead) > 0:
		return strings.Join(announcing, ", ") + " announces the address; " + strings.Join(ahead, "; ")
	}
	return strings.Join(announcing, ", ") + " announces the address"
}

// named returns the node of that name, the zero one where there is none.
func named(nodes []NodeOfAddress, name string) NodeOfAddress {
	if at := slices.IndexFunc(nodes, func(node NodeOfAddress) bool { return node.Node == name }); at >= 0 {
		return nodes[at]
	}
	return NodeOfAddress{}
}
