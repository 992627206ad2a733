// SPDX-License-Identifier: Apache-2.0

package diagnosis

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

const (
	// sessionUp is the state of a BGP session that can carry routes (RFC 4271 section 8.2.2).
	sessionUp = "Established"
	// bfdUp is the state of BFD in which routes are announced (RFC 5880 section 6.2).
	bfdUp = "Up"
)

// Overview is what matters in a cluster at a glance.
type Overview struct {
	Pools      []Pool      `json:"pools"`
	Announcers []Announcer `json:"announcers"`
	Sessions   []Session   `json:"sessions,omitempty"`
	// Unowned are the addresses in use that nobody announces.
	Unowned []Address `json:"unowned,omitempty"`
	// Pending are the Services that wait for an address.
	Pending []Pending `json:"pending,omitempty"`
	// Addresses is the number of addresses in use.
	Addresses int `json:"addresses"`
	// Problems lists in words all that is wrong; empty where all is well.
	Problems []string `json:"problems,omitempty"`
}

// Pool is a pool and what is left of it.
type Pool struct {
	Name     string `json:"name"`
	Total    string `json:"total"`
	Assigned string `json:"assigned"`
	Free     string `json:"free"`
	Ready    bool   `json:"ready"`
	Message  string `json:"message,omitempty"`
}

// Announcer is a node's agent.
type Announcer struct {
	Node    string `json:"node"`
	Version string `json:"version,omitempty"`
	Owned   int32  `json:"owned"`
	Members int32  `json:"members"`
	Ready   bool   `json:"ready"`
	// Hindrance says why the node announces nothing, where it may not.
	Hindrance string `json:"hindrance,omitempty"`
}

// Session is a BGP session of a node.
type Session struct {
	Node     string       `json:"node"`
	Peer     string       `json:"peer"`
	State    string       `json:"state"`
	Since    *metav1.Time `json:"since,omitempty"`
	BFD      string       `json:"bfd,omitempty"`
	Prefixes int32        `json:"prefixes"`
	Error    string       `json:"error,omitempty"`
}

// Survey says what matters in a cluster at a glance.
func Survey(c *Cluster) Overview {
	var overview Overview
	for _, pool := range c.Pools {
		overview.addPool(pool)
	}
	for _, node := range NodesOf(c) {
		for _, problem := range node.Problems {
			overview.problem("node %s: %s", node.Node, problem.Text)
		}
	}
	for _, announcer := range c.Announcers {
		overview.addAnnouncer(c, announcer)
	}
	for _, vip := range c.VirtualIPs {
		if len(vip.Spec.Services) == 0 {
			continue
		}
		overview.Addresses++
		if address := c.address(vip); !address.Announced {
			overview.Unowned = append(overview.Unowned, address)
			overview.problem("address %s: %s", address.Address, address.Summary)
		}
	}
	for _, service := range c.Services {
		if c.waits(service) {
			pending := c.pending(service)
			overview.Pending = append(overview.Pending, *pending)
			overview.problem("Service %s waits: %s", pending.Service, pending.Reason)
		}
	}
	return overview
}

func (o *Overview) problem(format string, args ...any) {
	o.Problems = append(o.Problems, fmt.Sprintf(format, args...))
}

func (o *Overview) addPool(pool *v1alpha1.AddressPool) {
	line := Pool{
		Name: pool.Name, Total: pool.Status.Capacity.Total, Assigned: pool.Status.Capacity.Assigned, Free: pool.Status.Capacity.Free,
		Ready: meta.IsStatusConditionTrue(pool.Status.Conditions, v1alpha1.ConditionReady),
	}
	for _, condition := range pool.Status.Conditions {
		bad := condition.Type == v1alpha1.ConditionReady && condition.Status == metav1.ConditionFalse ||
			condition.Type == v1alpha1.ConditionOverlap && condition.Status == metav1.ConditionTrue
		if bad {
			line.Message = condition.Message
			o.problem("pool %s: %s", pool.Name, condition.Message)
		}
	}
	o.Pools = append(o.Pools, line)
}

func (o *Overview) addAnnouncer(c *Cluster, announcer *v1alpha1.Announcer) {
	line := Announcer{
		Node: announcer.Name, Version: announcer.Status.Version, Owned: announcer.Status.Owned, Members: announcer.Status.Members,
		Ready: notReady(announcer) == "",
	}
	if node := c.node(announcer.Name); node != nil {
		line.Hindrance = loadbalancer.Hindrance(node, c.Rules)
	}
	o.Announcers = append(o.Announcers, line)
	for i := range announcer.Status.BGP {
		session := &announcer.Status.BGP[i]
		o.Sessions = append(o.Sessions, Session{
			Node: announcer.Name, Peer: session.Peer, State: session.State, Since: session.Since, BFD: session.BFD,
			Prefixes: session.Prefixes, Error: session.LastError,
		})
		if wrong := wrongWith(session); wrong != "" {
			o.problem("node %s: BGP session to %s %s", announcer.Name, session.Peer, wrong)
		}
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// elsewhere tells whether an annotation gives a Service to another controller.
func (c *Cluster) elsewhere(service *corev1.Service) bool {
	return settings.NewParser(settings.Config{Disabled: c.Disabled}).Elsewhere(service)
}

// waits tells whether a Service is ours and lacks an address.
func (c *Cluster) waits(service *corev1.Service) bool {
	return service.Spec.Type == corev1.ServiceTypeLoadBalancer && service.DeletionTimestamp == nil &&
		len(service.Status.LoadBalancer.Ingress) == 0 && !c.elsewhere(service) && !v1alpha1.OtherClass(service)
}
