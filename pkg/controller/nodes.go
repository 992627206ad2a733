// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	coreinformers "k8s.io/client-go/informers/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	cloudproviderapi "k8s.io/cloud-provider/api"

	fairleadinformers "github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// ForStockNodes returns the informer with which to run the stock node controller: a node that waits to be initialised is
// shown to it again when the node's announcer has reported other interfaces, by which the provider may know the node's
// addresses now. By itself the stock controller would try again after a pause that doubles with each attempt, and has
// grown to minutes on a node whose announcer takes its time. Nothing is written for it.
func ForStockNodes(nodes coreinformers.NodeInformer, announcers fairleadinformers.AnnouncerInformer) coreinformers.NodeInformer {
	return stockNodes{NodeInformer: nodes, announcers: announcers}
}

type stockNodes struct {
	coreinformers.NodeInformer
	announcers fairleadinformers.AnnouncerInformer
}

// Informer implements coreinformers.NodeInformer.
func (s stockNodes) Informer() cache.SharedIndexInformer {
	return stockNodeInformer{
		SharedIndexInformer: s.NodeInformer.Informer(), nodes: s.Lister(), announcers: s.announcers.Informer(),
	}
}

type stockNodeInformer struct {
	cache.SharedIndexInformer
	nodes      corelisters.NodeLister
	announcers cache.SharedIndexInformer
}

// AddEventHandler implements cache.SharedInformer. It is the way in which the stock controller asks.
func (i stockNodeInformer) AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	again := func(announcer *v1alpha1.Announcer) {
		if node, err := i.nodes.Get(announcer.Name); err == nil && awaitsInitialisation(node) {
			handler.OnUpdate(node, node)
		}
	}
	if _, err := i.announcers.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { again(obj.(*v1alpha1.Announcer)) },
		UpdateFunc: func(before, now any) {
			was, is := before.(*v1alpha1.Announcer), now.(*v1alpha1.Announcer)
			if !apiequality.Semantic.DeepEqual(was.Status.Interfaces, is.Status.Interfaces) {
				again(is)
			}
		},
	}); err != nil {
		return nil, err
	}
	return i.SharedIndexInformer.AddEventHandler(handler)
}

// awaitsInitialisation tells whether no cloud controller manager has taken care of a node yet.
func awaitsInitialisation(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(taint corev1.Taint) bool {
		return taint.Key == cloudproviderapi.TaintExternalCloudProvider
	})
}
