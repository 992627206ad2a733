// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	cloudprovider "k8s.io/cloud-provider"
	cloudproviderapi "k8s.io/cloud-provider/api"
	nodeutil "k8s.io/component-helpers/node/util"

	listers "github.com/fairlead-io/fairlead/pkg/api/client/listers/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/cloudconfig"
)

// instanceType is what every node gets as node.kubernetes.io/instance-type.
const instanceType = "machine"

// instances answers for nodes from what the cluster itself knows: there is no cloud to ask.
type instances struct {
	config     *cloudconfig.Config
	announcers listers.AnnouncerLister
}

var _ cloudprovider.InstancesV2 = &instances{}

// InstanceExists implements cloudprovider.InstancesV2. False makes the framework delete the Node object, so it is said
// only where a person has said so first, and never of another provider's node.
func (i *instances) InstanceExists(_ context.Context, node *corev1.Node) (bool, error) {
	value, said := node.Annotations[v1alpha1.DecommissionedKey]
	return !said || value == "false" || isReady(node) || isForeign(node), nil
}

// InstanceShutdown implements cloudprovider.InstancesV2: nobody can tell a machine that is off from one that is cut off.
func (i *instances) InstanceShutdown(context.Context, *corev1.Node) (bool, error) { return false, nil }

// InstanceMetadata implements cloudprovider.InstancesV2. The result is the same at each call for a node that did not
// change: kube-proxy restarts when the addresses of its node change.
func (i *instances) InstanceMetadata(_ context.Context, node *corev1.Node) (*cloudprovider.InstanceMetadata, error) {
	if isForeign(node) {
		return foreignMetadata(node)
	}
	internal, err := i.internalAddresses(node)
	if err != nil {
		return nil, err
	}
	metadata := &cloudprovider.InstanceMetadata{ProviderID: providerID(node), InstanceType: instanceType}
	for _, address := range internal {
		metadata.NodeAddresses = append(metadata.NodeAddresses,
			corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: address.String()})
	}
	metadata.NodeAddresses = append(metadata.NodeAddresses, otherAddresses(node)...)
	metadata.Zone, metadata.Region = i.config.Zone(node.Name, internal, node.Labels)
	return metadata, nil
}

// foreignMetadata leaves another provider's node alone. Without addresses the framework changes nothing of a node that is
// initialised. Of one that is not it would take the taint off, which only an error prevents.
func foreignMetadata(node *corev1.Node) (*cloudprovider.InstanceMetadata, error) {
	if slices.ContainsFunc(node.Spec.Taints, func(taint corev1.Taint) bool {
		return taint.Key == cloudproviderapi.TaintExternalCloudProvider
	}) {
		return nil, fmt.Errorf("node %s has provider ID %q, which is not of the form %s://ID: initialising it is left to its own provider",
			node.Name, node.Spec.ProviderID, Name)
	}
	return &cloudprovider.InstanceMetadata{ProviderID: node.Spec.ProviderID}, nil
}

// isForeign tells whether another provider initialised the node.
func isForeign(node *corev1.Node) bool {
	return node.Spec.ProviderID != "" && !strings.HasPrefix(node.Spec.ProviderID, Name+"://")
}

func isReady(node *corev1.Node) bool {
	_, ready := nodeutil.GetNodeCondition(&node.Status, corev1.NodeReady)
	return ready != nil && ready.Status == corev1.ConditionTrue
}

// providerID returns the node's provider ID, which is immutable once written: from the machine's system UUID, or where
// the machine has none, from its machine id or the node's name.
func providerID(node *corev1.Node) string {
	if node.Spec.ProviderID != "" {
		return node.Spec.ProviderID
	}
	return Name + "://" + strings.ToLower(cmp.Or(node.Status.NodeInfo.SystemUUID, node.Status.NodeInfo.MachineID, node.Name))
}

// internalAddresses returns the first of: the addresses the kubelet was given (which must be among those returned, or
// the node is never initialised), those the Node has already, those its agent found on the interface with the default
// route. Addresses of a node that was initialised here, and of which the agent finds none on the machine any more, have
// changed: a new lease of DHCP, or another network.
func (i *instances) internalAddresses(node *corev1.Node) ([]netip.Addr, error) {
	if given, ok := node.Annotations[cloudproviderapi.AnnotationAlphaProvidedIPAddr]; ok {
		return parseProvided(node.Name, given)
	}
	var have []netip.Addr
	for _, address := range node.Status.Addresses {
		if parsed, err := netip.ParseAddr(address.Address); err == nil && address.Type == corev1.NodeInternalIP {
			have = append(have, parsed)
		}
	}
	announcer, err := i.announcers.Get(node.Name)
	if err != nil {
		announcer = &v1alpha1.Announcer{} // it has not reported
	}
	main := mainAddresses(announcer)
	switch {
	case len(have) == 0 && len(main) == 0:
		return nil, fmt.Errorf("no address of node %s is known yet: its kubelet has no --node-ip, and its announcer has not reported", node.Name)
	case len(have) == 0, len(main) > 0 && node.Spec.ProviderID != "" && !hasAny(announcer, have):
		return main, nil
	}
	return have, nil
}

func parseProvided(node, given string) ([]netip.Addr, error) {
	var found []netip.Addr
	for text := range strings.SplitSeq(given, ",") {
		parsed, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("node %s: annotation %s %q: expected one IP address, or one of each family separated by a comma",
				node, cloudproviderapi.AnnotationAlphaProvidedIPAddr, given)
		}
		found = append(found, parsed)
	}
	return found, nil
}

// mainAddresses returns an address of each family on the node's interface with the default route: the first that has its
// subnet there, else the first. An address alone is often one that moves between machines.
func mainAddresses(announcer *v1alpha1.Announcer) []netip.Addr {
	var v4, v6 []netip.Prefix
	for _, iface := range announcer.Status.Interfaces {
		for _, text := range iface.Addresses {
			prefix, err := netip.ParsePrefix(text)
			switch {
			case err != nil || !iface.DefaultRoute || !prefix.Addr().IsGlobalUnicast():
			case prefix.Addr().Is4():
				v4 = append(v4, prefix)
			default:
				v6 = append(v6, prefix)
			}
		}
	}
	var found []netip.Addr
	for _, family := range [][]netip.Prefix{v4, v6} {
		if len(family) > 0 {
			found = append(found, family[max(0, slices.IndexFunc(family, func(p netip.Prefix) bool { return !p.IsSingleIP() }))].Addr())
		}
	}
	return found
}

// hasAny tells whether the node's agent found one of the addresses on the machine.
func hasAny(announcer *v1alpha1.Announcer, addresses []netip.Addr) bool {
	return slices.ContainsFunc(announcer.Status.Interfaces, func(iface v1alpha1.NodeInterface) bool {
		return slices.ContainsFunc(iface.Addresses, func(text string) bool {
			prefix, err := netip.ParsePrefix(text)
			return err == nil && slices.Contains(addresses, prefix.Addr())
		})
	})
}

// otherAddresses returns what else the Node says of itself, and its name as host name where it says none.
func otherAddresses(node *corev1.Node) []corev1.NodeAddress {
	others := slices.DeleteFunc(slices.Clone(node.Status.Addresses), func(address corev1.NodeAddress) bool {
		return address.Type == corev1.NodeInternalIP
	})
	if !slices.ContainsFunc(others, func(address corev1.NodeAddress) bool { return address.Type == corev1.NodeHostName }) {
		others = append(others, corev1.NodeAddress{Type: corev1.NodeHostName, Address: node.Name})
	}
	return others
}
