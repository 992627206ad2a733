// SPDX-License-Identifier: Apache-2.0

package kubeadm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// ConnectPods does what a network plugin's DaemonSet would do, for the nodes on these machines: it writes the plugin's
// configuration on each, and tells each machine the way to the pods of the others.
func (c *Cluster) ConnectPods(ctx context.Context, machines ...string) error {
	nodes, err := c.nodesWithPodNetworks(ctx, machines)
	if err != nil {
		return fmt.Errorf("connect pods: %w", err)
	}
	for _, node := range nodes {
		if err := c.writeNetworkConfig(ctx, &node); err != nil {
			return fmt.Errorf("connect pods of node %s: %w", node.Name, err)
		}
		for _, other := range Machines() {
			if other == node.Name {
				continue
			}
			if err := c.routePods(other, &node); err != nil {
				return fmt.Errorf("connect pods of node %s with node %s: %w", node.Name, other, err)
			}
		}
	}
	return nil
}

// nodesWithPodNetworks waits until the nodes are there and kube-controller-manager has given them their pod networks.
func (c *Cluster) nodesWithPodNetworks(ctx context.Context, names []string) ([]corev1.Node, error) {
	client := c.Client()
	var nodes []corev1.Node
	for _, name := range names {
		err := lab.Eventually(ctx, "node "+name+" to have pod networks", func(ctx context.Context) (bool, string, error) {
			node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return false, err.Error(), nil //nolint:nilerr // a node may be slow to register
			}
			if len(node.Spec.PodCIDRs) > 0 {
				nodes = append(nodes, *node)
			}
			return len(node.Spec.PodCIDRs) > 0, "it has none", nil
		})
		if err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// writeNetworkConfig lets the node's pods hang on a bridge, with addresses of the node's pod networks.
func (c *Cluster) writeNetworkConfig(ctx context.Context, node *corev1.Node) error {
	type object = map[string]any
	var ranges [][]object
	routes := []object{}
	for _, cidr := range node.Spec.PodCIDRs {
		ranges = append(ranges, []object{{"subnet": cidr}})
		if strings.Contains(cidr, ":") {
			routes = append(routes, object{"dst": "::/0"})
		} else {
			routes = append(routes, object{"dst": "0.0.0.0/0"})
		}
	}
	config, err := json.Marshal(object{
		"cniVersion": "1.0.0", "name": "pods",
		"plugins": []object{{
			"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "ipMasqBackend": "nftables", "hairpinMode": true,
			"ipam": object{"type": "host-local", "ranges": ranges, "routes": routes},
		}},
	})
	if err != nil {
		return err
	}
	_, err = c.Run(ctx, node.Name, fmt.Sprintf("mkdir -p /etc/cni/net.d\ncat >/etc/cni/net.d/.new <<'END'\n%s\nEND\n"+
		"mv /etc/cni/net.d/.new /etc/cni/net.d/10-pods.conflist", config))
	return err
}

// routePods tells a machine the way to the pods of a node.
func (c *Cluster) routePods(machine string, node *corev1.Node) error {
	return c.Netlink(machine, func(handle *netlink.Handle) error {
		link, err := handle.LinkByName("eth0")
		if err != nil {
			return err
		}
		for _, cidr := range node.Spec.PodCIDRs {
			prefix, err := netip.ParsePrefix(cidr)
			if err != nil {
				return err
			}
			gateway := c.Addr4(node.Name)
			if prefix.Addr().Is6() {
				gateway = c.Addr6(node.Name)
			}
			route := &netlink.Route{
				LinkIndex: link.Attrs().Index, Gw: gateway.AsSlice(),
				Dst: &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())},
			}
			if err := handle.RouteReplace(route); err != nil {
				return fmt.Errorf("route to %s: %w", cidr, err)
			}
		}
		return nil
	})
}

// DisconnectPods takes back what ConnectPods told machines of a node that is gone.
func (c *Cluster) DisconnectPods(node *corev1.Node) error {
	for _, machine := range Machines() {
		err := c.Netlink(machine, func(handle *netlink.Handle) error {
			for _, cidr := range node.Spec.PodCIDRs {
				_, dst, err := net.ParseCIDR(cidr)
				if err != nil {
					return err
				}
				if err := handle.RouteDel(&netlink.Route{Dst: dst}); err != nil && !errors.Is(err, syscall.ESRCH) {
					return fmt.Errorf("remove the route to %s: %w", cidr, err)
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("disconnect pods of node %s: %w", node.Name, err)
		}
	}
	return nil
}
