// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// webNamespace holds the Service that clients ask in benchmarks of layer 2.
const webNamespace = "web"

// target is the Service that is asked: a pod on each node behind one address.
type target struct {
	address string
	vip     string // name of the VirtualIP; empty where the address is not the product's
}

func (t *target) url() string { return "http://" + t.address + "/" }

// startBackends starts a pod on each node, and unless the cluster is bare a LoadBalancer Service before them.
func (c *cluster) startBackends(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: webNamespace}}
	if _, err := c.kube.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating namespace %s: %w", webNamespace, err)
	}
	for _, node := range c.lab.Nodes() {
		if err := c.startBackend(ctx, node); err != nil {
			return err
		}
	}
	wanted := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: webNamespace, Name: "web"},
		Spec: corev1.ServiceSpec{
			Selector: webLabels(), Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
	pool := c.lab.Pool4()
	if c.bare {
		// Without the product nobody assigns the address: kube-proxy takes it from the Service's spec.
		wanted.Spec.ExternalIPs = []string{pool.First.String()}
		c.service = &target{address: pool.First.String()}
	} else {
		wanted.Spec.Type = corev1.ServiceTypeLoadBalancer
		if err := c.lab.Apply(ctx, fmt.Sprintf(webPool, pool)); err != nil {
			return err
		}
	}
	if _, err := c.kube.CoreV1().Services(webNamespace).Create(ctx, wanted, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating the Service: %w", err)
	}
	if c.bare {
		return nil
	}
	return c.awaitTarget(ctx)
}

const webPool = `
apiVersion: fairlead.dev/v1alpha1
kind: AddressPool
metadata: {name: web}
spec: {addresses: ["%s"], namespaces: [` + webNamespace + `], announce: [{l2: {}}]}
`

// awaitTarget waits for the Service's address and for an answer from it.
func (c *cluster) awaitTarget(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := lab.Eventually(ctx, "the Service to have an address", func(ctx context.Context) (bool, string, error) {
		service, err := c.kube.CoreV1().Services(webNamespace).Get(ctx, "web", metav1.GetOptions{})
		if err != nil || len(service.Status.LoadBalancer.Ingress) == 0 {
			return false, "its status is empty", err
		}
		c.service = &target{address: service.Status.LoadBalancer.Ingress[0].IP}
		c.service.vip = c.service.address
		return true, "", nil
	})
	if err != nil {
		return err
	}
	return c.awaitSteady(ctx)
}

// awaitAnnouncers waits until each node's announcer has reported itself and sees all others.
func (c *cluster) awaitAnnouncers(ctx context.Context) error {
	want := len(c.lab.Nodes())
	return lab.Eventually(ctx, "all announcers to see each other", func(ctx context.Context) (bool, string, error) {
		announcers, err := c.fairlead.FairleadV1alpha1().Announcers().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", err
		}
		complete := 0
		for _, a := range announcers.Items {
			if int(a.Status.Members) == want && len(a.Status.Unreachable) == 0 && len(a.Status.Interfaces) > 0 {
				complete++
			}
		}
		return complete == want, fmt.Sprintf("%d of %d do", complete, want), nil
	})
}

// awaitSteady waits until nothing is left of a fault: all nodes are ready, each pod is a ready endpoint, all announcers
// see each other, one node announces the address, and 100 requests in a row are answered.
func (c *cluster) awaitSteady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := lab.Eventually(ctx, "all nodes and endpoints to be ready", c.allReady); err != nil {
		return err
	}
	if !c.bare {
		if err := c.awaitAnnouncers(ctx); err != nil {
			return err
		}
		if _, err := c.owner(ctx); err != nil {
			return err
		}
	}
	inRow := 0
	return lab.Eventually(ctx, "100 requests in a row to be answered", func(ctx context.Context) (bool, string, error) {
		for inRow < 100 {
			if _, err := c.lab.Ask(ctx, lab.Client, c.service.url()); err != nil {
				inRow = 0
				return false, err.Error(), nil //nolint:nilerr // tried again: the wait reports it
			}
			inRow++
		}
		return true, "", nil
	})
}

func (c *cluster) allReady(ctx context.Context) (bool, string, error) {
	nodes, err := c.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, "", err
	}
	for _, node := range nodes.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionTrue {
				return false, "node " + node.Name + " is not ready", nil
			}
		}
	}
	slices, err := c.kube.DiscoveryV1().EndpointSlices(webNamespace).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=web",
	})
	if err != nil {
		return false, "", err
	}
	ready := 0
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			if ptr.Deref(endpoint.Conditions.Ready, true) {
				ready++
			}
		}
	}
	return ready == len(nodes.Items), fmt.Sprintf("%d of %d endpoints are ready", ready, len(nodes.Items)), nil
}

// owner returns the node that announces the address, by the VirtualIP's status.
func (c *cluster) owner(ctx context.Context) (string, error) {
	owner := ""
	err := lab.Eventually(ctx, "an owner of the address", func(ctx context.Context) (bool, string, error) {
		vip, err := c.fairlead.FairleadV1alpha1().VirtualIPs().Get(ctx, c.service.vip, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		owner = vip.Status.Node
		return owner != "", "status.node is empty", nil
	})
	return owner, err
}
