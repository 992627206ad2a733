// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	fairleadfake "github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned/fake"
	"github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

// errDown is what an API server says that cannot write now.
var errDown = errors.New("etcdserver: leader changed")

// deadNode is a cluster whose announcers have lost node c, on which pods run behind a LoadBalancer Service.
type deadNode struct {
	*Controller
	t     *testing.T
	kube  *kubefake.Clientset
	known *deaths
}

func newDeadNode(t *testing.T, pods ...*corev1.Pod) *deadNode {
	kube := kubefake.NewClientset(&coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: "c"},
		Spec:       coordinationv1.LeaseSpec{RenewTime: &metav1.MicroTime{Time: time.Unix(17, 0)}},
	})
	for _, pod := range pods {
		if err := kube.Tracker().Add(pod); err != nil {
			t.Fatal(err)
		}
	}
	objects := fairleadfake.NewClientset()
	core, own := informers.NewSharedInformerFactory(kube, 0), externalversions.NewSharedInformerFactory(objects, 0)
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "web"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": "web"}},
	}
	if err := core.Core().V1().Services().Informer().GetStore().Add(service); err != nil {
		t.Fatal(err)
	}
	for _, a := range []any{announcer("a", "c"), announcer("b", "c"), announcer("c")} {
		if err := own.Fairlead().V1alpha1().Announcers().Informer().GetStore().Add(a); err != nil {
			t.Fatal(err)
		}
	}
	c := New(Config{
		Balancers: loadbalancer.New(loadbalancer.Config{
			Client: objects, Objects: own.Fairlead().V1alpha1(),
			Nodes: core.Core().V1().Nodes(), Services: core.Core().V1().Services(),
			Namespaces: core.Core().V1().Namespaces(), EndpointSlices: core.Discovery().V1().EndpointSlices(),
		}),
		Kube: kube, Client: objects, Objects: own.Fairlead().V1alpha1(), Informers: core,
		Events: record.NewFakeRecorder(10), Classless: true, MarkDeadNodes: true,
	})
	t.Cleanup(c.queue.ShutDown)
	return &deadNode{Controller: c, t: t, kube: kube, known: newDeaths()}
}

// readyPod returns a pod of node c with a Ready condition.
func readyPod(name string, ready corev1.PodCondition) *corev1.Pod {
	ready.Type = corev1.PodReady
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: name, Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{NodeName: "c"},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{ready}},
	}
}

var (
	inService    = corev1.PodCondition{Status: corev1.ConditionTrue}
	outOfService = corev1.PodCondition{Status: corev1.ConditionFalse, Reason: reasonNodeUnreachable, Message: messageNodeUnreachable}
)

// failOnce has the API server fail at the first request of this kind.
func (d *deadNode) failOnce(verb, resource string) {
	failed := false
	d.kube.PrependReactor(verb, resource, func(kubetesting.Action) (bool, runtime.Object, error) {
		if failed {
			return false, nil, nil
		}
		failed = true
		return true, nil, errDown
	})
}

// marked counts the pods that are.
func (d *deadNode) marked() (count int) {
	pods, err := d.kube.CoreV1().Pods("d").List(d.t.Context(), metav1.ListOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	for i := range pods.Items {
		if isMarked(&pods.Items[i]) {
			count++
		}
	}
	return count
}

func TestEveryPodOfADeadNodeIsMarkedInTheEnd(t *testing.T) {
	d := newDeadNode(t, readyPod("p1", inService), readyPod("p2", inService), readyPod("p3", inService))
	d.failOnce("patch", "pods")
	d.bury(t.Context(), d.known)
	if got := d.marked(); got != 2 {
		t.Errorf("%d pods are marked, want the two that could be", got)
	}
	d.bury(t.Context(), d.known)
	if got := d.marked(); got != 3 {
		t.Errorf("%d pods are marked at the second try, want all 3", got)
	}
	d.kube.ClearActions()
	d.bury(t.Context(), d.known)
	if actions := d.kube.Actions(); len(actions) > 0 {
		t.Errorf("a node that is done with costs %v", actions)
	}
}

func TestLeaderFinishesWhatAnEarlierOneBegan(t *testing.T) {
	for _, failing := range []string{"pods", "leases"} {
		t.Run(failing+" cannot be read at first", func(t *testing.T) {
			d := newDeadNode(t, readyPod("p1", outOfService), readyPod("p2", inService))
			d.failOnce("list", failing)
			d.failOnce("get", failing)
			if d.inherit(t.Context(), d.known) || !d.inherit(t.Context(), d.known) {
				t.Error("the marks of an earlier leader count as known before they were read, or do not after that")
			}
			d.bury(t.Context(), d.known)
			if got := d.marked(); got != 2 {
				t.Errorf("%d of 2 pods are marked", got)
			}
		})
	}
}

func TestOnePodKeepsNoOtherFromBeingTakenBack(t *testing.T) {
	d := newDeadNode(t, readyPod("p1", outOfService), readyPod("p2", outOfService))
	d.known.record("c", time.Unix(10, 0)) // and the Lease was renewed since
	d.failOnce("patch", "pods")
	d.resurrect(t.Context(), d.known)
	if got := d.marked(); got != 1 || !d.known.holds("c") {
		t.Errorf("%d pods are marked, held for dead: %t; want one left, and the node for the next try", got, d.known.holds("c"))
	}
	d.resurrect(t.Context(), d.known)
	if got := d.marked(); got != 0 || d.known.holds("c") {
		t.Errorf("%d pods are marked, held for dead: %t, want none", got, d.known.holds("c"))
	}
}
