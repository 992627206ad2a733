// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/cloudconfig"
	"github.com/fairlead-io/fairlead/pkg/diagnosis"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// Where the cloud config stands, in the namespace that Fairlead is installed in.
const (
	configName = "fairlead-cloud-config"
	configKey  = "cloud.yaml"
)

// read fetches all that questions are answered from. The API server's caches answer (resourceVersion 0): that is cheap for
// it, and as fresh as what the controllers see.
func (c clients) read(ctx context.Context) (*diagnosis.Cluster, error) {
	cluster := &diagnosis.Cluster{Namespace: c.home}
	group, ctx := errgroup.WithContext(ctx)
	for _, fetch := range slices.Concat(c.kubernetesObjects(ctx, cluster), c.fairleadObjects(ctx, cluster)) {
		group.Go(fetch)
	}
	group.Go(func() (err error) {
		cluster.Rules, cluster.Disabled, err = c.config(ctx)
		return err
	})
	return cluster, group.Wait()
}

// kubernetesObjects returns what fetches the objects of Kubernetes.
func (c clients) kubernetesObjects(ctx context.Context, cluster *diagnosis.Cluster) []func() error {
	core, all := c.kube.CoreV1(), metav1.NamespaceAll
	return []func() error{
		listing(ctx, "Nodes", core.Nodes().List, func(list *corev1.NodeList) { cluster.Nodes = pointers(list.Items) }),
		listing(ctx, "Services", core.Services(all).List, func(list *corev1.ServiceList) { cluster.Services = pointers(list.Items) }),
		listing(ctx, "EndpointSlices", c.kube.DiscoveryV1().EndpointSlices(all).List, func(list *discoveryv1.EndpointSliceList) {
			cluster.Slices = pointers(list.Items)
		}),
		listing(ctx, "Events", core.Events(all).List, func(list *corev1.EventList) { cluster.Events = pointers(list.Items) }),
	}
}

// fairleadObjects returns what fetches the objects of Fairlead.
func (c clients) fairleadObjects(ctx context.Context, cluster *diagnosis.Cluster) []func() error {
	api := c.fairlead.FairleadV1alpha1()
	return []func() error{
		listing(ctx, "AddressPools", api.AddressPools().List, func(list *v1alpha1.AddressPoolList) { cluster.Pools = pointers(list.Items) }),
		listing(ctx, "VirtualIPs", api.VirtualIPs().List, func(list *v1alpha1.VirtualIPList) { cluster.VirtualIPs = pointers(list.Items) }),
		listing(ctx, "Announcers", api.Announcers().List, func(list *v1alpha1.AnnouncerList) { cluster.Announcers = pointers(list.Items) }),
	}
}

// listing returns what lists all objects of a kind and hands them over.
func listing[L any](ctx context.Context, kind string, list func(context.Context, metav1.ListOptions) (L, error), take func(L)) func() error {
	return func() error {
		all, err := list(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return fmt.Errorf("listing %s: %w", kind, err)
		}
		take(all)
		return nil
	}
}

func pointers[T any](items []T) []*T {
	all := make([]*T, len(items))
	for i := range items {
		all[i] = &items[i]
	}
	return all
}

// config returns the node rules of the cloud config, and the dialects of annotations that it switches off. Where there is
// none, or none that one may read, these are the defaults, which is said: an answer may be wrong then.
func (c clients) config(ctx context.Context) (rules loadbalancer.NodeRules, disabled []settings.Dialect, err error) {
	object, err := c.kube.CoreV1().ConfigMaps(c.home).Get(ctx, configName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		fmt.Fprintf(c.warnings, "warning: node rules are taken to be the defaults, for want of the cloud config: %v"+
			" (--fairlead-namespace says where Fairlead is installed)\n", err)
		return rules, nil, nil
	}
	if err != nil {
		return rules, nil, err
	}
	config, err := cloudconfig.Parse([]byte(object.Data[configKey]))
	if err != nil {
		return rules, nil, fmt.Errorf("ConfigMap %s/%s, key %s: %w", c.home, configName, configKey, err)
	}
	for _, dialect := range config.Settings.DisabledDialects {
		disabled = append(disabled, settings.Dialect(dialect))
	}
	return loadbalancer.NodeRules{
		IgnoreExcludeLabel: config.Nodes.ExcludeLabel == cloudconfig.ExcludeLabelIgnore,
		LeaveOnCordon:      config.Nodes.LeaveOnCordon,
	}, disabled, nil
}
