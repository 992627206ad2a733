// SPDX-License-Identifier: Apache-2.0

package controller

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	coreinformers "k8s.io/client-go/informers/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"

	"github.com/fairlead-io/fairlead/pkg/leaving"
)

// ForStockServiceNodes returns the informer of Nodes with which to run the stock service controller. All that comes of the
// nodes that it counts is its warning UnAvailableLoadBalancer if there are none. It leaves out those that have the exclude
// label, are leaving or are being deleted, which here says nothing of whether an address is announced: so each of them is
// listed without what it is left out by. The event NoAnnouncer tells of addresses that nobody may announce.
func ForStockServiceNodes(nodes coreinformers.NodeInformer) coreinformers.NodeInformer {
	return countedNodes{NodeInformer: nodes}
}

type countedNodes struct{ coreinformers.NodeInformer }

// Lister implements coreinformers.NodeInformer.
func (c countedNodes) Lister() corelisters.NodeLister {
	return countedNodeLister{NodeLister: c.NodeInformer.Lister()}
}

type countedNodeLister struct{ corelisters.NodeLister }

// List implements corelisters.NodeLister.
func (l countedNodeLister) List(selector labels.Selector) ([]*corev1.Node, error) {
	nodes, err := l.NodeLister.List(selector)
	for i, node := range nodes {
		if leaving.Excluded(node.Labels) || leaving.Sign(node) != "" {
			nodes[i] = &corev1.Node{
				ObjectMeta: metav1.ObjectMeta{Name: node.Name}, Spec: corev1.NodeSpec{ProviderID: node.Spec.ProviderID},
			}
		}
	}
	return nodes, err
}
