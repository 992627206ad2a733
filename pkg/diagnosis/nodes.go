// SPDX-License-Identifier: Apache-2.0

package diagnosis

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	cloudproviderapi "k8s.io/cloud-provider/api"

	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

// Node is what a node has and what it lacks.
type Node struct {
	Node       string `json:"node"`
	Ready      bool   `json:"ready"`
	ProviderID string `json:"providerID,omitempty"`
	Zone       string `json:"zone,omitempty"`
	// Announcer is the version of the node's agent; empty where none has reported.
	Announcer string `json:"announcer,omitempty"`
	// Hindrance says why the node announces nothing, where it may not.
	Hindrance string    `json:"hindrance,omitempty"`
	Problems  []Problem `json:"problems,omitempty"`
}

// Problem is something that a node lacks.
type Problem struct {
	Text string `json:"text"`
	// Remedy is a command, or says what to do.
	Remedy string `json:"remedy"`
}

// NodesOf says of every node of a cluster, by name, what it lacks.
func NodesOf(c *Cluster) []Node {
	nodes := make([]Node, 0, len(c.Nodes))
	for _, node := range c.Nodes {
		report := Node{
			Node: node.Name, Ready: isReady(node), ProviderID: node.Spec.ProviderID, Zone: node.Labels[corev1.LabelTopologyZone],
			Hindrance: loadbalancer.Hindrance(node, c.Rules), Problems: initialisation(node, c.Namespace),
		}
		if announcer := c.announcer(node.Name); announcer == nil {
			report.lacks("no announcer has reported", fmt.Sprintf(
				"kubectl -n %s get pods -o wide --field-selector spec.nodeName=%s", c.Namespace, node.Name))
		} else {
			report.Announcer = cmp.Or(announcer.Status.Version, "unknown")
			if why := notReady(announcer); why != "" {
				report.lacks(why, fmt.Sprintf("kubectl describe announcer %s", node.Name))
			}
		}
		if lost := len(c.lostBy(node.Name)); lost > 0 {
			report.lacks(fmt.Sprintf("%d of %d announcers have lost the node", lost, len(c.running())),
				"look at the node's link, and whether TCP and UDP 7946 and UDP 7947 (or those of --gossip-port) pass between the nodes")
		}
		nodes = append(nodes, report)
	}
	for _, announcer := range c.Announcers {
		if !slices.ContainsFunc(nodes, func(node Node) bool { return node.Node == announcer.Name }) {
			orphan := Node{Node: announcer.Name, Announcer: announcer.Status.Version}
			orphan.lacks("there is an announcer's report, but no Node", "kubectl delete announcer "+announcer.Name)
			nodes = append(nodes, orphan)
		}
	}
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.Node, b.Node) })
	return nodes
}

func (n *Node) lacks(text, remedy string) {
	n.Problems = append(n.Problems, Problem{Text: text, Remedy: remedy})
}

// initialisation says what a node lacks that the cloud controller manager should have given it, whose namespace
// is the other argument.
func initialisation(node *corev1.Node, namespace string) []Problem {
	var problems []Problem
	waits := slices.ContainsFunc(node.Spec.Taints, func(taint corev1.Taint) bool {
		return taint.Key == cloudproviderapi.TaintExternalCloudProvider
	})
	switch {
	case waits:
		problems = append(problems, Problem{
			"still has the taint " + cloudproviderapi.TaintExternalCloudProvider + ": nothing has initialised it",
			fmt.Sprintf("kubectl -n %s logs -l app.kubernetes.io/name=fairlead-cloud-controller-manager --prefix --tail=-1 | grep -w %s",
				namespace, node.Name),
		})
	case node.Spec.ProviderID == "":
		problems = append(problems, Problem{
			"has no providerID: its kubelet joined without --cloud-provider=external, so nothing initialises it",
			fmt.Sprintf("start the kubelet with --cloud-provider=external, then: kubectl taint node %s %s=true:NoSchedule",
				node.Name, cloudproviderapi.TaintExternalCloudProvider),
		})
	}
	if !slices.ContainsFunc(node.Status.Addresses, func(address corev1.NodeAddress) bool { return address.Type == corev1.NodeInternalIP }) {
		problems = append(problems, Problem{
			"has no InternalIP address", "give the kubelet --node-ip, or see why its announcer does not report",
		})
	}
	return problems
}
