// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// localName is of the Service with Local policy, and begins the names of its pods.
const localName = "local"

// endpointMove is what was seen of the only endpoint of a Service going to another node. All times begin where the new pod
// is reported ready and the old one is told to end.
type endpointMove struct {
	crash
	answered time.Duration // until the first answer from the new pod
	told     time.Duration // until the EndpointSlice told that the old one is to serve no more
	proxied  time.Duration // until kube-proxy of the new node knew of the new one: before that it drops what comes in
}

// endpointMoves moves the only endpoint of a Service with Local policy from the node that announces the address to another
// one. The old pod serves until the end, as it does in a rolling update; only its node's kubelet would end it.
func endpointMoves(p pressure) measure {
	return func(ctx context.Context, e *env) (figure, error) {
		free, err := e.press(p)
		if err != nil {
			return figure{}, err
		}
		defer free()
		local, pod, err := e.startLocal(ctx)
		if err != nil {
			return figure{}, err
		}
		defer e.kube.CoreV1().Services(webNamespace).Delete(context.WithoutCancel(ctx), localName, metav1.DeleteOptions{}) //nolint:errcheck // the lab goes away too
		var all []endpointMove
		for i := range e.runsOr(10) {
			var one endpointMove
			if one, pod, err = local.moveEndpoint(ctx, pod); err != nil {
				return figure{}, fmt.Errorf("run %d: %w", i+1, err)
			}
			all = append(all, one)
			e.say("run %d: EndpointSlice after %d ms, kube-proxy after %d ms, first answer after %d ms, %d of %d requests failed %q",
				i+1, one.told.Milliseconds(), one.proxied.Milliseconds(), one.answered.Milliseconds(), one.failed, one.asked, one.failures)
		}
		return summarizeEndpointMoves(all).with("nodes", e.nodes).with("loaded", bool(p)), e.lab.DeletePod(ctx, pod)
	}
}

// summarizeEndpointMoves tells apart what the product adds to the time that Kubernetes takes.
func summarizeEndpointMoves(all []endpointMove) figure {
	var answered, own, told, proxied, failed []float64
	asked := 0
	for _, one := range all {
		answered, failed = append(answered, milliseconds(one.answered)), append(failed, float64(one.failed))
		told, proxied = append(told, milliseconds(one.told)), append(proxied, milliseconds(one.proxied))
		own = append(own, milliseconds(one.answered-max(one.told, one.proxied)))
		asked += one.asked
	}
	f := summarize("ms", answered, true).with("own_median_ms", quantile(own, 0.5)).with("own_worst_ms", slices.Max(own))
	f = f.with("slice_median_ms", quantile(told, 0.5)).with("slice_worst_ms", slices.Max(told))
	f = f.with("kube_proxy_median_ms", quantile(proxied, 0.5)).with("kube_proxy_worst_ms", slices.Max(proxied))
	return f.with("failed_worst", slices.Max(failed)).with("requests", asked)
}

// startLocal starts a Service with Local policy and one pod. The cluster that it returns asks that Service.
func (e *env) startLocal(ctx context.Context) (*cluster, *lab.Pod, error) {
	pod, err := e.startLocalPod(ctx, e.lab.Nodes()[0])
	if err != nil {
		return nil, nil, err
	}
	services := e.kube.CoreV1().Services(webNamespace)
	if _, err = services.Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: localName},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Selector: pod.Labels, ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal,
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}, metav1.CreateOptions{}); err != nil {
		return nil, nil, fmt.Errorf("creating Service %s: %w", localName, err)
	}
	local := *e.cluster
	err = lab.Eventually(ctx, "the Service's address", func(ctx context.Context) (bool, string, error) {
		s, err := services.Get(ctx, localName, metav1.GetOptions{})
		if err != nil || len(s.Status.LoadBalancer.Ingress) == 0 {
			return false, "it has none", err
		}
		address := s.Status.LoadBalancer.Ingress[0].IP
		local.service = &target{address: address, vip: address}
		return true, "", nil
	})
	return &local, pod, err
}

func (c *cluster) startLocalPod(ctx context.Context, node string) (*lab.Pod, error) {
	return c.lab.StartPod(ctx, lab.PodSpec{
		Namespace: webNamespace, Name: localName + "-" + node, Node: node, Labels: map[string]string{"app": localName},
	})
}

// moveEndpoint has the pod followed by one on another node, and returns that.
func (c *cluster) moveEndpoint(ctx context.Context, old *lab.Pod) (endpointMove, *lab.Pod, error) {
	others := slices.DeleteFunc(c.lab.Nodes(), func(node string) bool { return node == old.Node })
	heir, err := c.startLocalPod(ctx, others[0])
	if err != nil {
		return endpointMove{}, nil, err
	}
	if err := c.lab.SetPodReady(ctx, heir, false); err != nil {
		return endpointMove{}, nil, err
	}
	if err := c.awaitOnly(ctx, old.Node); err != nil {
		return endpointMove{}, nil, err
	}
	if err := c.awaitSteady(ctx); err != nil {
		return endpointMove{}, nil, err
	}
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	told, err := c.endpointLost(watching, webNamespace, localName, old.Node)
	if err != nil {
		return endpointMove{}, nil, err
	}
	proxied, err := c.localEndpointKnown(watching, heir.Node)
	if err != nil {
		return endpointMove{}, nil, err
	}
	if err := c.lab.StopHeartbeats(old.Node); err != nil {
		return endpointMove{}, nil, err
	}
	var moment time.Time
	seen, err := c.observe(ctx, patient(), func() error {
		moment = time.Now()
		if err := c.lab.SetPodReady(ctx, heir, true); err != nil {
			return err
		}
		return c.kube.CoreV1().Pods(old.Namespace).Delete(ctx, old.Name, metav1.DeleteOptions{})
	}, func(moment time.Time, seen lab.Attempts) bool {
		return calm(moment, seen) && firstAnswer(seen, heir.Node) != nil
	})
	if err != nil {
		return endpointMove{}, nil, err
	}
	first := firstAnswer(seen.requests, heir.Node)
	if first == nil {
		return endpointMove{}, nil, fmt.Errorf("no answer from %s in %s", heir.Node, giveUp)
	}
	one := endpointMove{crash: seen, answered: first.End.Sub(moment), told: (<-told).Sub(moment), proxied: (<-proxied).Sub(moment)}
	if err := c.lab.DeletePod(ctx, old); err != nil {
		return endpointMove{}, nil, err
	}
	return one, heir, c.lab.StartHeartbeats(ctx, old.Node)
}

// awaitOnly waits until this node alone is to announce the address, and does.
func (c *cluster) awaitOnly(ctx context.Context, node string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return lab.Eventually(ctx, node+" alone to announce "+c.service.address, func(ctx context.Context) (bool, string, error) {
		vip, err := c.fairlead.FairleadV1alpha1().VirtualIPs().Get(ctx, c.service.vip, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		only := slices.Equal(vip.Spec.Candidates, []string{node}) && vip.Status.Node == node
		return only, fmt.Sprintf("%s does, of %v", vip.Status.Node, vip.Spec.Candidates), nil
	})
}

// localEndpointKnown waits until kube-proxy of a node says, on the port that there is for load balancers to ask, that it has
// no endpoint there, and returns a channel that receives the moment at which it says that it has. It is closed when ctx ends.
func (c *cluster) localEndpointKnown(ctx context.Context, node string) (<-chan time.Time, error) {
	service, err := c.kube.CoreV1().Services(webNamespace).Get(ctx, localName, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("looking up the healthCheckNodePort: %w", err)
	}
	port := strconv.Itoa(int(service.Spec.HealthCheckNodePort))
	url := "http://" + net.JoinHostPort(c.lab.Addr4(node).String(), port) + "/healthz"
	has := func(ctx context.Context) bool {
		_, err := c.lab.HTTPGet(ctx, lab.Client, url)
		return err == nil
	}
	if err := lab.Eventually(ctx, "kube-proxy of "+node+" without an endpoint", func(ctx context.Context) (bool, string, error) {
		return !has(ctx), "it has one", nil
	}); err != nil {
		return nil, err
	}
	known := make(chan time.Time, 1)
	go func() {
		defer close(known)
		for sleep(ctx, 10*time.Millisecond) == nil {
			if has(ctx) {
				known <- time.Now()
				return
			}
		}
	}()
	return known, nil
}

// firstAnswer returns the first request that was answered from a node, or nil.
func firstAnswer(seen lab.Attempts, node string) *lab.Attempt {
	i := slices.IndexFunc(seen, func(one lab.Attempt) bool { return one.OK && one.By.Node == node })
	if i < 0 {
		return nil
	}
	return &seen[i]
}
