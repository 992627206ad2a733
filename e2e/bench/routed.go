// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

const (
	routedNamespace = "routed"
	routerASN       = 64500
	nodeASN         = 64512
	// routedServices have an address each, all announced by every node.
	routedServices = 100
)

// routedPool is announced by BGP alone.
const routedPool = `
apiVersion: fairlead.dev/v1alpha1
kind: AddressPool
metadata: {name: routed}
spec: {addresses: [10.98.0.0/23], namespaces: [` + routedNamespace + `], announce: [{bgp: {}}]}
`

// routerConfig is FRR's. BFD is offered to all, and only those that speak it have it.
const routerConfig = `
bfd
 profile nodes
  transmit-interval %[1]d
  receive-interval %[1]d
  detect-multiplier %[2]d
router bgp %[3]d
 bgp router-id %[4]s
 no bgp ebgp-requires-policy
 bgp graceful-restart
 neighbor nodes peer-group
 neighbor nodes remote-as %[5]d
 neighbor nodes bfd profile nodes
%[6]s address-family ipv4 unicast
  maximum-paths 16
 exit-address-family
`

// BFD where it is measured how fast it is. On a machine that other work shares it gives false alarms, like any so fast.
const (
	bfdInterval   = 50 * time.Millisecond
	bfdMultiplier = 3
)

// startRouter runs FRR in the lab's router, as a neighbour of all nodes.
func (c *cluster) startRouter(ctx context.Context) (err error) {
	var neighbors strings.Builder
	for _, node := range c.lab.Nodes() {
		fmt.Fprintf(&neighbors, " neighbor %s peer-group nodes\n", c.lab.Addr4(node))
	}
	c.frr, err = c.lab.StartFRR(ctx, lab.Router, fmt.Sprintf(routerConfig,
		bfdInterval.Milliseconds(), bfdMultiplier, routerASN, c.lab.Addr4(lab.Router), nodeASN, neighbors.String()))
	return err
}

// startRouted starts a pod on each node and the Services that BGP is to announce.
func (c *cluster) startRouted(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: routedNamespace}}
	if _, err := c.kube.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating namespace %s: %w", routedNamespace, err)
	}
	if err := c.lab.Apply(ctx, routedPool); err != nil {
		return err
	}
	pods, err := c.startRoutedPods(ctx, "web", webLabels())
	if err != nil {
		return err
	}
	maps.Copy(c.pods, pods)
	err = parallel(routedServices, func(i int) error {
		return c.createRouted(ctx, fmt.Sprintf("web-%d", i), webLabels(), corev1.ServiceExternalTrafficPolicyCluster)
	})
	if err != nil {
		return err
	}
	return lab.Eventually(ctx, "addresses of all Services", func(ctx context.Context) (bool, string, error) {
		list, err := c.kube.CoreV1().Services(routedNamespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", err
		}
		c.addresses = nil
		for _, s := range list.Items {
			for _, in := range s.Status.LoadBalancer.Ingress {
				c.addresses = append(c.addresses, netip.MustParseAddr(in.IP))
			}
		}
		return len(c.addresses) == routedServices, fmt.Sprintf("%d have one", len(c.addresses)), nil
	})
}

// startRoutedPods starts a pod on each node, and returns them by node.
func (c *cluster) startRoutedPods(ctx context.Context, name string, labels map[string]string) (map[string]*lab.Pod, error) {
	pods := map[string]*lab.Pod{}
	for _, node := range c.lab.Nodes() {
		pod, err := c.lab.StartPod(ctx, lab.PodSpec{Namespace: routedNamespace, Name: name + "-" + node, Node: node, Labels: labels})
		if err != nil {
			return nil, err
		}
		pods[node] = pod
	}
	return pods, nil
}

func (c *cluster) createRouted(ctx context.Context, name string, selector map[string]string, policy corev1.ServiceExternalTrafficPolicy) error {
	_, err := c.kube.CoreV1().Services(routedNamespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Selector: selector, ExternalTrafficPolicy: policy,
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("creating Service %s: %w", name, err)
	}
	return nil
}

// openSessions makes the router a peer of all nodes, anew with each benchmark, and waits for all routes.
func (e *env) openSessions(ctx context.Context, edit func(*v1alpha1.BGPPeerSpec)) error {
	peers := e.fairlead.FairleadV1alpha1().BGPPeers()
	if err := peers.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		return fmt.Errorf("deleting the peers of the benchmark before: %w", err)
	}
	spec := v1alpha1.BGPPeerSpec{
		PeerAddress: e.lab.Addr4(lab.Router).String(), PeerASN: routerASN, LocalASN: nodeASN,
		ConnectRetry: &metav1.Duration{Duration: 2 * time.Second},
	}
	edit(&spec)
	_, err := peers.Create(ctx, &v1alpha1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "router"}, Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("creating the peer: %w", err)
	}
	return e.awaitHops(ctx, e.addresses, e.lab.Nodes()...)
}

// ordinary is the session of most benchmarks: BFD in the times that it has by default, and routes kept for a restart.
func ordinary(s *v1alpha1.BGPPeerSpec) {
	s.BFD, s.GracefulRestart = &v1alpha1.BFD{}, &v1alpha1.GracefulRestart{}
}

// fast is ordinary with the BFD that is measured.
func fast(s *v1alpha1.BGPPeerSpec) {
	ordinary(s)
	s.BFD = &v1alpha1.BFD{Interval: &metav1.Duration{Duration: bfdInterval}, Multiplier: bfdMultiplier}
}

// awaitHops waits until the router's kernel sends the traffic of all addresses to exactly these nodes.
func (c *cluster) awaitHops(ctx context.Context, addrs []netip.Addr, nodes ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var want []netip.Addr
	for _, node := range nodes {
		want = append(want, c.lab.Addr4(node))
	}
	at := 0 // those before are as they should be
	return lab.Eventually(ctx, fmt.Sprintf("routes through %v", nodes), func(context.Context) (bool, string, error) {
		for ; at < len(addrs); at++ {
			got, err := c.lab.NextHops(lab.Router, netip.PrefixFrom(addrs[at], addrs[at].BitLen()))
			if err != nil || !slices.Equal(got, want) {
				return false, fmt.Sprintf("%s: %v", addrs[at], got), err
			}
		}
		return true, "", nil
	})
}

// gone returns how long after the given moment the last route through a node went, once no address has one.
func (c *cluster) gone(ctx context.Context, watch *lab.RouteWatch, addrs []netip.Addr, node string, moment time.Time) (time.Duration, error) {
	others := slices.DeleteFunc(c.lab.Nodes(), func(n string) bool { return n == node })
	if err := c.awaitHops(ctx, addrs, others...); err != nil {
		return 0, err
	}
	longest := time.Duration(0)
	for _, addr := range addrs {
		changes, err := watch.Changes(netip.PrefixFrom(addr, addr.BitLen()))
		if err != nil {
			return 0, err
		}
		if len(changes) == 0 {
			return 0, fmt.Errorf("the route to %s changed unseen", addr)
		}
		longest = max(longest, changes[0].Time.Sub(moment))
	}
	return longest, nil
}
