// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/cloudconfig"
	"github.com/fairlead-io/fairlead/pkg/diagnosis"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

// Where the cloud config stands.
const (
	configNamespace = "fairlead-system"
	configName      = "fairlead-cloud-config"
	configKey       = "cloud.yaml"
)

// read fetches all that questions are answered from. The API server's caches answer (resourceVersion 0): that is cheap for
// it, and as fresh as what the controllers see.
func (c clients) read(ctx context.Context) (*diagnosis.Cluster, error) {
	cluster := &diagnosis.Cluster{}
	group, ctx := errgroup.WithContext(ctx)
	for _, fetch := range slices.Concat(c.kubernetesObjects(ctx, cluster), c.fairleadObjects(ctx, cluster)) {
		group.Go(fetch)
	}
	group.Go(func() (err error) {
		cluster.Rules, err = c.rules(ctx)
		return err
	})
	return cluster, group.Wait()
}

// kubernetesObjects returns what fetches the objects of Kubernetes.
func (c clients) kubernetesObjects(ctx context.Context, cluster *diagnosis.Cluster) []func() error {
	cached := metav1.ListOptions{ResourceVersion: "0"}
	return []func() error{
		func() error {
			list, err := c.kube.CoreV1().Nodes().List(ctx, cached)
			if err != nil {
				return fmt.Errorf("listing Nodes: %w", err)
			}
			cluster.Nodes = pointers(list.Items)
			return nil
		},
		func() error {
			list, err := c.kube.CoreV1().Services(metav1.NamespaceAll).List(ctx, cached)
			if err != nil {
				return fmt.Errorf("listing Services: %w", err)
			}
			cluster.Services = pointers(list.Items)
			return nil
		},
		func() error {
			list, err := c.kube.DiscoveryV1().EndpointSlices(metav1.NamespaceAll).List(ctx, cached)
			if err != nil {
				return fmt.Errorf("listing EndpointSlices: %w", err)
			}
			cluster.Slices = pointers(list.Items)
			return nil
		},
		func() error {
			list, err := c.kube.CoreV1().Events(metav1.NamespaceAll).List(ctx, cached)
			if err != nil {
				return fmt.Errorf("listing Events: %w", err)
			}
			cluster.Events = pointers(list.Items)
			return nil
		},
	}
}

// fairleadObjects returns what fetches the objects of Fairlead.
func (c clients) fairleadObjects(ctx context.Context, cluster *diagnosis.Cluster) []func() error {
	cached := metav1.ListOptions{ResourceVersion: "0"}
	return []func() error{
		func() error {
			list, err := c.fairlead.FairleadV1alpha1().AddressPools().List(ctx, cached)
			if err != nil {
				return fmt.Errorf("listing AddressPools: %w", err)
			}
			cluster.Pools = pointers(list.Items)
			return nil
		},
		func() error {
			list, err := c.fairlead.FairleadV1alpha1().VirtualIPs().List(ctx, cached)
			if err != nil {
				return fmt.Errorf("listing VirtualIPs: %w", err)
			}
			cluster.VirtualIPs = pointers(list.Items)
			return nil
		},
		func() error {
			list, err := c.fairlead.FairleadV1alpha1().Announcers().List(ctx, cached)
			if err != nil {
				return fmt.Errorf("listing Announcers: %w", err)
			}
			cluster.Announcers = pointers(list.Items)
			return nil
		},
	}
}

func pointers[T any](items []T) []*T {
	all := make([]*T, len(items))
	for i := range items {
		all[i] = &items[i]
	}
	return all
}

// rules returns the node rules of the cloud config; the defaults where there is none, or none that one may read.
func (c clients) rules(ctx context.Context) (loadbalancer.NodeRules, error) {
	object, err := c.kube.CoreV1().ConfigMaps(configNamespace).Get(ctx, configName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return loadbalancer.NodeRules{}, nil
	}
	if err != nil {
		return loadbalancer.NodeRules{}, err
	}
	config, err := cloudconfig.Parse([]byte(object.Data[configKey]))
	if err != nil {
		return loadbalancer.NodeRules{}, fmt.Errorf("ConfigMap %s/%s, key %s: %w", configNamespace, configName, configKey, err)
	}
	return loadbalancer.NodeRules{
		IgnoreExcludeLabel: config.Nodes.ExcludeLabel == cloudconfig.ExcludeLabelIgnore,
		LeaveOnCordon:      config.Nodes.LeaveOnCordon,
	}, nil
}
