// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/fairlead-io/fairlead/pkg/api/apitest"
	fairleadfake "github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned/fake"
	"github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/cloudconfig"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

// errDown is what an API server says that cannot write now.
var errDown = errors.New("etcdserver: leader changed")

// boot is that in which the announcers have lost node c.
const boot = "boot-1"

// deadNode is a cluster whose announcers have lost node c, on which pods run behind a LoadBalancer Service.
type deadNode struct {
	*Controller
	t     *testing.T
	kube  *kubefake.Clientset
	known *deaths
}

func newDeadNode(t *testing.T, pods ...*corev1.Pod) *deadNode {
	kube := kubefake.NewClientset()
	apitest.KeepMetadata(kube)
	kube.PrependReactor("list", "pods", listPodsByNode(kube))
	objects := fairleadfake.NewClientset()
	core, own := informers.NewSharedInformerFactory(kube, 0), externalversions.NewSharedInformerFactory(objects, 0)
	c := New(Config{
		Balancers: loadbalancer.New(loadbalancer.Config{
			Client: objects, Objects: own.Fairlead().V1alpha1(),
			Nodes: core.Core().V1().Nodes(), Services: core.Core().V1().Services(),
			Namespaces: core.Core().V1().Namespaces(), EndpointSlices: core.Discovery().V1().EndpointSlices(),
		}),
		Kube: kube, Client: objects, Objects: own.Fairlead().V1alpha1(), Informers: core,
		Events: record.NewFakeRecorder(10), Classless: true, DeadNodeEndpoints: cloudconfig.DeadNodeMarkNotReady,
	})
	t.Cleanup(c.queue.ShutDown)
	d := &deadNode{Controller: c, t: t, kube: kube, known: newDeaths()}
	store(t, core.Core().V1().Services().Informer(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "web"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": "web"}},
	})
	d.count(announcer("a", "c"), announcer("b", "c"), announcer("c"))
	d.addNode("c")
	for _, pod := range pods {
		if _, err := kube.CoreV1().Pods(pod.Namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// store puts an object where listers find it.
func store(t *testing.T, informer cache.SharedIndexInformer, object any) {
	t.Helper()
	if err := informer.GetStore().Add(object); err != nil {
		t.Fatal(err)
	}
}

// listPodsByNode does what the API server does with a field selector, which a fake clientset ignores.
func listPodsByNode(kube *kubefake.Clientset) kubetesting.ReactionFunc {
	return func(action kubetesting.Action) (bool, runtime.Object, error) {
		listed, err := kube.Tracker().List(action.GetResource(), corev1.SchemeGroupVersion.WithKind("Pod"), action.GetNamespace())
		if err != nil {
			return true, nil, err
		}
		pods, is := listed.(*corev1.PodList)
		if !is {
			return true, nil, fmt.Errorf("a list of pods is a %T", listed)
		}
		node, some := action.(kubetesting.ListAction).GetListRestrictions().Fields.RequiresExactMatch("spec.nodeName")
		pods.Items = slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool { return some && pod.Spec.NodeName != node })
		return true, pods, nil
	}
}

// count has the announcers be these, besides others.
func (d *deadNode) count(announcers ...*v1alpha1.Announcer) {
	d.t.Helper()
	for _, a := range announcers {
		store(d.t, d.config.Objects.Announcers().Informer(), a)
	}
}

// addNode adds a Node and its Lease.
func (d *deadNode) addNode(name string) {
	d.t.Helper()
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{BootID: boot}},
	}
	node, err := d.kube.CoreV1().Nodes().Create(d.t.Context(), node, metav1.CreateOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	store(d.t, d.config.Informers.Core().V1().Nodes().Informer(), node)
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: name},
		Spec:       coordinationv1.LeaseSpec{RenewTime: &metav1.MicroTime{Time: time.Unix(17, 0)}},
	}
	if _, err := d.kube.CoordinationV1().Leases(lease.Namespace).Create(d.t.Context(), lease, metav1.CreateOptions{}); err != nil {
		d.t.Fatal(err)
	}
}

// renewLease is what the kubelet of node c does every 10 s.
func (d *deadNode) renewLease() {
	d.t.Helper()
	leases := d.kube.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	lease, err := leases.Get(d.t.Context(), "c", metav1.GetOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	lease.Spec.RenewTime = &metav1.MicroTime{Time: lease.Spec.RenewTime.Add(10 * time.Second)}
	if _, err := leases.Update(d.t.Context(), lease, metav1.UpdateOptions{}); err != nil {
		d.t.Fatal(err)
	}
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
	outOfService = mark(boot)
	notRunning   = corev1.PodCondition{Status: corev1.ConditionFalse, Reason: "ContainersNotReady"}
)

// once does something before the first request of this kind is answered; it cannot use the clientset, which is locked.
func (d *deadNode) once(verb, resource string, do func() error) {
	var once sync.Once
	d.kube.PrependReactor(verb, resource, func(kubetesting.Action) (bool, runtime.Object, error) {
		once.Do(func() {
			if err := do(); err != nil {
				d.t.Error(err)
			}
		})
		return false, nil, nil
	})
}

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

// ready returns the Ready condition of a pod as "True", or the reason why it is not.
func (d *deadNode) ready(name string) string {
	d.t.Helper()
	pod, err := d.kube.CoreV1().Pods("d").Get(d.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	if ready := readyCondition(pod); ready.Status != corev1.ConditionTrue {
		return ready.Reason
	}
	return "True"
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

// lists returns the page sizes of the lists of pods so far.
func (d *deadNode) lists() (limits []int64) {
	for _, action := range d.kube.Actions() {
		if list, is := action.(kubetesting.ListActionImpl); is && action.GetResource().Resource == "pods" {
			limits = append(limits, list.ListOptions.Limit)
		}
	}
	return limits
}
