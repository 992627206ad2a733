// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// ready, unready and ending are how it may stand with an endpoint.
const (
	ready   = "ready"
	unready = "unready"
	ending  = "ending" // it terminates and serves
)

// endpoints makes the endpoints of a Service what they are, by node, and returns when the Reconciler knows of it.
func (w *world) endpoints(service *corev1.Service, states map[string]string) {
	w.Helper()
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{
		Namespace: service.Namespace, Name: service.Name + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: service.Name},
	}}
	for _, node := range slices.Sorted(maps.Keys(states)) {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{NodeName: &node, Conditions: discoveryv1.EndpointConditions{
			Ready: new(states[node] == ready), Serving: new(states[node] != unready), Terminating: new(states[node] == ending),
		}})
	}
	_ = w.kube.Tracker().Delete(discoveryv1.SchemeGroupVersion.WithResource("endpointslices"), slice.Namespace, slice.Name)
	if _, err := w.kube.DiscoveryV1().EndpointSlices(slice.Namespace).Create(w.Context(), slice, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	w.knows(func() bool {
		known, err := w.config.EndpointSlices.Lister().EndpointSlices(slice.Namespace).Get(slice.Name)
		return err == nil && cmp.Equal(known.Endpoints, slice.Endpoints)
	})
}

// changeNode changes a Node, and returns when the Reconciler knows of it.
func (w *world) changeNode(name string, edit func(*corev1.Node)) {
	w.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	edit(node)
	if _, err := w.kube.CoreV1().Nodes().Update(w.Context(), node, metav1.UpdateOptions{}); err != nil {
		w.Fatal(err)
	}
	w.knows(func() bool {
		known, err := w.config.Nodes.Lister().Get(name)
		return err == nil && cmp.Equal(known.Labels, node.Labels) && cmp.Equal(known.Spec, node.Spec)
	})
}

// local returns a Service that is served only by endpoints on the node that the traffic comes to.
func local(annotations ...string) *corev1.Service {
	service := balanced("ns", "a", 80, annotations...)
	service.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	return service
}

func isDrained(node *corev1.Node) { node.Labels[v1alpha1.DrainKey] = "true" }

// TestTheLastEndpointsKeepTheirAddress: a node that leaves has the address as long as nobody else could serve it.
func TestTheLastEndpointsKeepTheirAddress(t *testing.T) {
	type step struct {
		drained   []string
		endpoints map[string]string
		want      []string
		said      string
	}
	const stays = "Warning LastEndpoints 10.0.0.1 is not taken from n1 (the node is drained: fairlead.dev/drain is true): no other"
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"the only one", []step{
			{nil, map[string]string{"n1": ready}, []string{"n1"}, ""},
			{[]string{"n1"}, map[string]string{"n1": ready}, []string{"n1"}, stays},
			{[]string{"n1"}, map[string]string{"n1": ready, "n2": unready}, []string{"n1"}, ""},
			{[]string{"n1"}, map[string]string{"n1": ready, "n2": ready}, []string{"n2"}, ""},
		}},
		{"of a new address", []step{{[]string{"n1"}, map[string]string{"n1": ready}, []string{"n1"}, stays}}},
		{"both leave", []step{
			{nil, map[string]string{"n1": ready}, []string{"n1"}, ""},
			{[]string{"n1", "n2"}, map[string]string{"n1": ready, "n2": ready}, []string{"n1", "n2"}, "n2 (the node is drained"},
		}},
		{"the pod is evicted", []step{
			{[]string{"n1"}, map[string]string{"n1": ready}, []string{"n1"}, stays},
			{[]string{"n1"}, map[string]string{"n1": ending}, []string{"n1"}, ""},
			{[]string{"n1"}, map[string]string{"n1": ending, "n3": unready}, []string{"n1"}, ""},
			{[]string{"n1"}, map[string]string{"n1": ending, "n3": ready}, []string{"n3"}, ""},
		}},
		{"no endpoints at all", []step{
			{[]string{"n1", "n3"}, map[string]string{"n1": ready}, []string{"n1"}, stays},
			{[]string{"n1", "n3"}, map[string]string{"n1": unready}, []string{"n2"}, ""},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.99"))
			w.withNodes("n1", "n2", "n3")
			service := local()
			for i, step := range test.steps {
				for _, name := range step.drained {
					w.changeNode(name, isDrained)
				}
				w.endpoints(service, step.endpoints)
				w.gets(service, "10.0.0.1")
				if diff := cmp.Diff(step.want, w.vip("10.0.0.1").Spec.Candidates); diff != "" {
					t.Errorf("step %d: candidates (-want +got):\n%s", i, diff)
				}
				if got := w.said(); !strings.Contains(got, step.said) || (got == "") != (step.said == "") {
					t.Errorf("step %d: said %q, want %q", i, got, step.said)
				}
			}
		})
	}
}

// TestAllThatMakesANodeLeaveCounts where the last endpoints are on it.
func TestAllThatMakesANodeLeaveCounts(t *testing.T) {
	for name, edit := range map[string]func(*corev1.Node){
		"excluded": func(node *corev1.Node) { node.Labels[corev1.LabelNodeExcludeBalancers] = "" },
		"cordoned": func(node *corev1.Node) { node.Spec.Unschedulable = true },
		"taken by the autoscaler": func(node *corev1.Node) {
			node.Spec.Taints = []corev1.Taint{{Key: v1alpha1.ScaleDownTaint, Effect: corev1.TaintEffectNoSchedule}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.99"))
			w.withNodes("n1", "n2")
			service := local(settings.Prefix+"leave-on-cordon", "on")
			w.endpoints(service, map[string]string{"n1": ready})
			w.gets(service, "10.0.0.1")
			w.changeNode("n1", edit)
			w.gets(service, "10.0.0.1")
			if diff := cmp.Diff([]string{"n1"}, w.vip("10.0.0.1").Spec.Candidates); diff != "" {
				t.Errorf("candidates (-want +got):\n%s", diff)
			}
			w.endpoints(service, map[string]string{"n1": ready, "n2": ready})
			w.gets(service, "10.0.0.1")
			if diff := cmp.Diff([]string{"n2"}, w.vip("10.0.0.1").Spec.Candidates); diff != "" {
				t.Errorf("with another node that serves: candidates (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAnExcludedNodeGetsNothing: its label is there for good, as on nodes of the control plane, wherever a pod happens to run.
func TestAnExcludedNodeGetsNothing(t *testing.T) {
	w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.99"))
	w.withNodes("n1", "n2")
	w.changeNode("n1", func(node *corev1.Node) { node.Labels[corev1.LabelNodeExcludeBalancers] = "" })
	service := local()
	w.endpoints(service, map[string]string{"n1": ready})
	w.gets(service, "10.0.0.1")
	if diff := cmp.Diff([]string{"n2"}, w.vip("10.0.0.1").Spec.Candidates); diff != "" {
		t.Errorf("candidates (-want +got):\n%s", diff)
	}
}

// TestTheOnlyNodeThatIsSelectedGoesOn while it is drained: another one would not be the Service's wish.
func TestTheOnlyNodeThatIsSelectedGoesOn(t *testing.T) {
	w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.99"))
	w.withNodes("n1", "n2")
	edge := func(node *corev1.Node) { node.Labels["role"] = "edge" }
	w.changeNode("n1", edge)
	service := balanced("ns", "a", 80, settings.NodesKey, "role=edge")
	w.gets(service, "10.0.0.1")
	w.changeNode("n1", func(node *corev1.Node) { edge(node); isDrained(node) })
	w.gets(service, "10.0.0.1")
	if diff := cmp.Diff([]string{"n1"}, w.vip("10.0.0.1").Spec.Candidates); diff != "" {
		t.Errorf("candidates (-want +got):\n%s", diff)
	}
	if got := w.said(); got != "" {
		t.Errorf("said %q of an address that stays", got)
	}
	w.gets(balanced("ns", "b", 80, settings.NodesKey, "role=edge"), "10.0.0.2")
	if got := w.said(); !strings.HasPrefix(got, "Warning NoNodeSelected ") {
		t.Errorf("said %q of a new address, which nobody announces", got)
	}
}

func TestMoreNodesThanAreNamed(t *testing.T) {
	var nodes []announcerNode
	var names []string
	for i := range 5 {
		node := announcing(fmt.Sprintf("n%d", i), map[string]string{v1alpha1.DrainKey: "true"})
		nodes, names = append(nodes, node), append(names, node.node.Name)
	}
	if got := explainLeaving(nodes, names, NodeRules{}); !strings.Contains(got, "n2 (the node is drained: fairlead.dev/drain is true) and 2 more: ") {
		t.Errorf("said %q", got)
	}
}
