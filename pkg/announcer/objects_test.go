// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/bgp"
)

// nodeWatch is what the agent of n2 knows of its Node, of which the informer has just that object.
func nodeWatch(t *testing.T, node *corev1.Node) (o *informed, remove func()) {
	t.Helper()
	o = &informed{self: "n2", nodes: cache.NewSharedIndexInformer(&cache.ListWatch{}, &corev1.Node{}, 0, nil)}
	if err := o.nodes.GetStore().Add(node); err != nil {
		t.Fatal(err)
	}
	return o, func() {
		t.Helper()
		if err := o.nodes.GetStore().Delete(node); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDeletedNodeAnnouncesNothingByBGP: what kept a node from announcing goes with its Node object, and the machine goes on
// running for a while.
func TestDeletedNodeAnnouncesNothingByBGP(t *testing.T) {
	const controlPlane = "node-role.kubernetes.io/control-plane"
	for name, tc := range map[string]struct {
		node   corev1.Node
		before int
	}{
		"cordoned":     {corev1.Node{Spec: corev1.NodeSpec{Unschedulable: true}}, 0},
		"drained":      {corev1.Node{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.DrainKey: "true"}}}, 0},
		"excluded":     {corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{corev1.LabelNodeExcludeBalancers: "true"}}}, 0},
		"not selected": {corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{controlPlane: ""}}}, 0},
		"announcing":   {corev1.Node{}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			tc.node.Name = "n2"
			o, remove := nodeWatch(t, &tc.node)
			vip := withRules(bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, cluster()), v1alpha1.NodeRules{LeaveOnCordon: true})
			vip.Spec.Announce[1].BGP.NodeSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: controlPlane, Operator: metav1.LabelSelectorOpDoesNotExist},
			}}
			known, now := departures{}, time.Now()
			var announced []bgp.Route
			look := func() []bgp.Route {
				v := bgpView{node: o.node(), forwarding: true, endpoints: notKnown, open: always, vips: []*v1alpha1.VirtualIP{vip}}
				v.leaving = known.follow(v, announced, now)
				d, _ := desiredBGP(v)
				announced = d.Routes
				return announced
			}
			if before := look(); len(before) != tc.before {
				t.Fatalf("with the Node: %v, want %d", before, tc.before)
			}
			remove()
			for _, r := range look() {
				if tc.before == 0 || !r.Leaving {
					t.Errorf("%s is announced after the deletion of the Node, as the last resort: %v", r.Prefix, r.Leaving)
				}
			}
			now = now.Add(withdrawAfter + time.Second)
			if late := look(); len(late) > 0 {
				t.Errorf("announced long after the deletion of the Node: %v", late)
			}
			if n := o.node(); !n.draining || n.drainSign == "" {
				t.Errorf("a node whose Node is gone is not draining: %+v", n)
			}
		})
	}
}

// TestNodeNotReadYet: an agent that starts must not take its node for one that is gone.
func TestNodeNotReadYet(t *testing.T) {
	o := &informed{self: "n2", nodes: cache.NewSharedIndexInformer(&cache.ListWatch{}, &corev1.Node{}, 0, nil)}
	if n := o.node(); n.draining {
		t.Errorf("draining, by the sign %q", n.drainSign)
	}
}

// TestNodeMadeAnew: a kubelet that starts registers its node again.
func TestNodeMadeAnew(t *testing.T) {
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n2"}}
	o, remove := nodeWatch(t, &node)
	o.node()
	remove()
	if !o.node().draining {
		t.Error("not draining without the Node")
	}
	if err := o.nodes.GetStore().Add(&node); err != nil {
		t.Fatal(err)
	}
	if o.node().draining {
		t.Error("draining with the Node back")
	}
}
