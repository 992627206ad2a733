// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// withNodes makes nodes on the subnet 10.0.0.0/24.
func (w *world) withNodes(names ...string) {
	w.Helper()
	for i, name := range names {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		announcer := &v1alpha1.Announcer{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1alpha1.AnnouncerStatus{
			Interfaces: []v1alpha1.NodeInterface{{
				Name: "eth0", MAC: fmt.Sprintf("02:00:00:00:00:%02d", i), Addresses: []string{fmt.Sprintf("10.0.0.%d/24", 200+i)}, DefaultRoute: true,
			}},
		}}
		if _, err := w.kube.CoreV1().Nodes().Create(w.Context(), node, metav1.CreateOptions{}); err != nil {
			w.Fatal(err)
		}
		if _, err := w.api.FairleadV1alpha1().Announcers().Create(w.Context(), announcer, metav1.CreateOptions{}); err != nil {
			w.Fatal(err)
		}
	}
	w.knows(func() bool { return len(w.nodesWithAgents()) == len(names) })
}

// TestNewAddressesGoWhereFewAre: after a crash the addresses of a node are another's, and stay there when it comes back. The
// candidates do not tell; who announces does.
func TestNewAddressesGoWhereFewAre(t *testing.T) {
	for _, test := range []struct{ announcing, want string }{{"n2", "n1"}, {"n1", "n2"}, {"", "n1"}} {
		t.Run("announced by "+test.announcing, func(t *testing.T) {
			objects := []runtime.Object{poolOf("p", "10.0.0.1-10.0.0.99")}
			for i := range 10 {
				vip := reservation(fmt.Sprintf("10.0.0.%d", 10+i), "p", "")
				vip.Spec.Candidates, vip.Status.Node = []string{"n2", "n1"}, test.announcing
				objects = append(objects, vip)
			}
			w := newWorld(t, objects...)
			w.withNodes("n1", "n2")
			w.gets(balanced("ns", "a", 80), "10.0.0.1")
			if diff := cmp.Diff(test.want, w.vip("10.0.0.1").Spec.Candidates[0]); diff != "" {
				t.Errorf("first candidate (-want +got):\n%s", diff)
			}
		})
	}
}

// TestADrainTouchesItsOwnAddressesOnly: the number of candidates that suits the cluster falls with the ninth node, and an
// address that has nothing to do with it stays as it is. One of its candidates may be the only one that lives.
func TestADrainTouchesItsOwnAddressesOnly(t *testing.T) {
	w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.99"))
	var names []string
	for i := range 9 {
		names = append(names, fmt.Sprintf("n%d", i+1))
	}
	w.withNodes(names...)
	service := balanced("ns", "a", 80)
	w.gets(service, "10.0.0.1")
	before := w.vip("10.0.0.1")
	if len(before.Spec.Candidates) != 5 {
		t.Fatalf("candidates %v, want five", before.Spec.Candidates)
	}
	other := slices.IndexFunc(names, func(name string) bool { return !slices.Contains(before.Spec.Candidates, name) })
	for _, edit := range []func(*corev1.Node){isDrained, func(*corev1.Node) {}} {
		w.changeNode(names[other], edit)
		w.gets(service, "10.0.0.1")
		if diff := cmp.Diff(before, w.vip("10.0.0.1")); diff != "" {
			t.Errorf("written again (-before +now):\n%s", diff)
		}
	}
}
