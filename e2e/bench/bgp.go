// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// bgp returns the benchmarks with FRR as the router.
func bgp() []benchmark {
	routed := need{nodes: 3, routed: true}
	return []benchmark{
		{name: "bgp_withdraw", about: "node crash to its routes gone, with BFD", lab: routed, run: withdrawBFD},
		{name: "bgp_withdraw_hold", about: "node crash to its routes gone, with a hold time of 3 s", lab: routed, run: withdrawHold},
		{name: "bgp_endpoint_gone", about: "last endpoint of a node not ready to route gone (Local policy)", lab: routed, run: endpointGone},
		{name: "bgp_drain", about: "node drained and back: requests that failed", lab: routed, run: drainRouted},
		{name: "bgp_restart", about: "announcer restarted: requests that failed", lab: routed, run: restartRouted},
		{
			name: "bgp_converge", about: "10,000 addresses until the router has them all; memory of the agent",
			lab: need{nodes: 1, bare: true, routed: true}, run: converge,
		},
	}
}

func withdrawBFD(ctx context.Context, e *env) (figure, error) {
	f, err := e.withdraw(ctx, fast)
	return f.with("bfd_interval_ms", milliseconds(bfdInterval)).with("bfd_multiplier", bfdMultiplier), err
}

func withdrawHold(ctx context.Context, e *env) (figure, error) {
	f, err := e.withdraw(ctx, func(s *v1alpha1.BGPPeerSpec) { s.HoldTime = &metav1.Duration{Duration: 3 * time.Second} })
	return f.with("hold_time_s", 3), err
}

// withdraw crashes one node after the other, and waits until the router has lost its routes.
func (e *env) withdraw(ctx context.Context, edit func(*v1alpha1.BGPPeerSpec)) (figure, error) {
	if err := e.openSessions(ctx, edit); err != nil {
		return figure{}, err
	}
	var took []float64
	for i := range e.runsOr(10) {
		if err := e.awaitHops(ctx, e.addresses, e.lab.Nodes()...); err != nil {
			return figure{}, err
		}
		d, err := e.crashRouted(ctx, e.lab.Nodes()[i%e.nodes])
		if err != nil {
			return figure{}, fmt.Errorf("run %d: %w", i+1, err)
		}
		e.say("run %d: gone after %d ms", i+1, d.Milliseconds())
		took = append(took, milliseconds(d))
	}
	return summarize("ms", took, true).with("nodes", e.nodes).with("addresses", len(e.addresses)), nil
}

func (e *env) crashRouted(ctx context.Context, node string) (time.Duration, error) {
	watch, err := e.lab.WatchRoutes(lab.Router)
	if err != nil {
		return 0, err
	}
	defer watch.Stop()
	moment := time.Now()
	if err := e.lab.CrashNode(node); err != nil {
		return 0, err
	}
	took, err := e.gone(ctx, watch, e.addresses, node, moment)
	if err != nil {
		return 0, err
	}
	return took, e.lab.RestoreNode(ctx, node)
}

// endpointGone takes the only endpoint of a node out of a Service with Local policy. The time begins with the pod's
// status, as its kubelet writes it.
func endpointGone(ctx context.Context, e *env) (figure, error) {
	const name = "local"
	if err := e.openSessions(ctx, ordinary); err != nil {
		return figure{}, err
	}
	// Pods of its own: of those behind a hundred Services Kubernetes takes a second to tell all of them.
	labels := map[string]string{"app": name}
	pods, err := e.startRoutedPods(ctx, name, labels)
	if err != nil {
		return figure{}, err
	}
	if err := e.createRouted(ctx, name, labels, corev1.ServiceExternalTrafficPolicyLocal); err != nil {
		return figure{}, err
	}
	services := e.kube.CoreV1().Services(routedNamespace)
	defer services.Delete(context.WithoutCancel(ctx), name, metav1.DeleteOptions{}) //nolint:errcheck // the lab goes away too
	var addrs []netip.Addr
	err = lab.Eventually(ctx, "the Service's address", func(ctx context.Context) (bool, string, error) {
		s, err := services.Get(ctx, name, metav1.GetOptions{})
		if err != nil || len(s.Status.LoadBalancer.Ingress) == 0 {
			return false, "it has none", err
		}
		addrs = []netip.Addr{netip.MustParseAddr(s.Status.LoadBalancer.Ingress[0].IP)}
		return true, "", nil
	})
	if err != nil {
		return figure{}, err
	}
	var took, told []float64
	for i := range e.runsOr(20) {
		gone, slice, err := e.loseEndpoint(ctx, name, addrs, pods[e.lab.Nodes()[i%e.nodes]])
		if err != nil {
			return figure{}, fmt.Errorf("run %d: %w", i+1, err)
		}
		e.say("run %d: route gone after %d ms, EndpointSlice after %d ms", i+1, gone.Milliseconds(), slice.Milliseconds())
		took, told = append(took, milliseconds(gone)), append(told, milliseconds(slice))
	}
	return summarize("ms", took, true).with("nodes", e.nodes).with("slice_median_ms", quantile(told, 0.5)).
		with("slice_worst_ms", slices.Max(told)), nil
}

// loseEndpoint returns how long after the pod's status the route of its node was gone, and how long after it the EndpointSlice
// said so.
func (e *env) loseEndpoint(ctx context.Context, service string, addrs []netip.Addr, pod *lab.Pod) (gone, slice time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := e.awaitHops(ctx, addrs, e.lab.Nodes()...); err != nil {
		return 0, 0, err
	}
	lost, err := e.endpointLost(ctx, routedNamespace, service, pod.Node)
	if err != nil {
		return 0, 0, err
	}
	watch, err := e.lab.WatchRoutes(lab.Router)
	if err != nil {
		return 0, 0, err
	}
	defer watch.Stop()
	moment := time.Now()
	if err := e.lab.SetPodReady(ctx, pod, false); err != nil {
		return 0, 0, err
	}
	if gone, err = e.gone(ctx, watch, addrs, pod.Node, moment); err != nil {
		return 0, 0, err
	}
	return gone, (<-lost).Sub(moment), e.lab.SetPodReady(ctx, pod, true)
}

// annotateNode sets an annotation of a node, or removes it if the value is null.
func (e *env) annotateNode(ctx context.Context, node, key, value string) error {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s}}}`, key, value)
	if _, err := e.kube.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("annotating node %s: %w", node, err)
	}
	return nil
}
