// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
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
		Events: record.NewFakeRecorder(10), Classless: true, MarkDeadNodes: true,
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

// pass has time pass, in which resurrect looks after every leasePeriod.
func (d *deadNode) pass(duration time.Duration) {
	for range duration / leasePeriod {
		time.Sleep(leasePeriod)
		d.resurrect(d.t.Context(), d.known)
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

func TestOnlyPodsBehindLoadBalancerServicesAreMarked(t *testing.T) {
	other := readyPod("other", inService)
	other.Labels = map[string]string{"app": "batch"}
	elsewhere := readyPod("elsewhere", inService)
	elsewhere.Spec.NodeName = "b"
	d := newDeadNode(t, readyPod("web", inService), other, elsewhere)
	d.bury(t.Context(), d.known)
	if got := [3]string{d.ready("web"), d.ready("other"), d.ready("elsewhere")}; got != [3]string{reasonNodeUnreachable, "True", "True"} {
		t.Errorf("web, other and elsewhere: %v, want the first alone marked", got)
	}
}

// TestWhatIsWrittenMeanwhileStays: between the list and the patch somebody else writes the pod, or makes another one.
func TestWhatIsWrittenMeanwhileStays(t *testing.T) {
	for _, test := range []struct {
		name string
		was  corev1.PodCondition
		node string // of the pod afterwards
	}{
		{"by the kubelet before the mark is taken back", outOfService, "c"},
		{"by the kubelet before the pod is marked", inService, "c"},
		{"a pod of that name made anew, elsewhere", inService, "b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDeadNode(t, readyPod("web", test.was))
				meanwhile := readyPod("web", notRunning)
				meanwhile.ResourceVersion, meanwhile.Spec.NodeName = "100", test.node
				d.once("patch", "pods", func() error {
					return d.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), meanwhile, "d")
				})
				d.bury(t.Context(), d.known)
				d.renewLease()
				d.pass(bootTold + 2*leasePeriod)
				if got := d.ready("web"); got != notRunning.Reason {
					t.Errorf("ready: %s, want %s as was written", got, notRunning.Reason)
				}
				if d.known.holds("c") {
					t.Error("the node is held for dead for what was written meanwhile")
				}
			})
		})
	}
}

// TestTakeBack: a node renews its Lease after its death was declared.
func TestTakeBack(t *testing.T) {
	for _, test := range []struct {
		name string
		boot string // that the kubelet tells right after
		want string
	}{
		{"it has run on: its pods are ready again", boot, "True"},
		{"it has booted: its pods are ready when its kubelet says so", "boot-2", reasonNodeUnreachable},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDeadNode(t, readyPod("web", inService))
				d.bury(t.Context(), d.known)
				d.pass(time.Minute)
				if got := d.ready("web"); got != reasonNodeUnreachable {
					t.Fatalf("ready: %s before the Lease is renewed", got)
				}
				d.renewLease()
				d.resurrect(t.Context(), d.known) // before the kubelet has told its boot
				node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "c"}}
				node.Status.NodeInfo.BootID = test.boot
				if err := d.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("nodes"), node, ""); err != nil {
					t.Fatal(err)
				}
				d.pass(bootTold)
				if got := d.ready("web"); got != test.want {
					t.Errorf("ready: %s after the Lease was renewed, want %s", got, test.want)
				}
				if d.known.holds("c") {
					t.Error("the node is still held for dead")
				}
			})
		})
	}
}

func TestANodeThatIsBackIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeadNode(t, readyPod("web", inService))
		d.failOnce("patch", "pods") // so that its pod would be marked with the next look
		d.bury(t.Context(), d.known)
		d.renewLease()
		d.resurrect(t.Context(), d.known)
		for _, after := range []time.Duration{0, bootTold, quietAfterTakeBack - leasePeriod} {
			d.pass(after)
			d.bury(t.Context(), d.known)
			if got := d.ready("web"); got != "True" {
				t.Fatalf("ready: %s, marked within ten minutes of the node's return", got)
			}
		}
		d.pass(leasePeriod)
		d.bury(t.Context(), d.known)
		if got := d.ready("web"); got != reasonNodeUnreachable {
			t.Errorf("ready: %s ten minutes after, want it marked again", got)
		}
	})
}

func TestOnePodKeepsNoOtherFromBeingTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeadNode(t, readyPod("p1", outOfService), readyPod("p2", outOfService))
		d.known.record("c", time.Unix(10, 0)) // and the Lease was renewed since
		d.failOnce("patch", "pods")
		d.resurrect(t.Context(), d.known)
		d.pass(bootTold)
		if got := d.marked(); got != 1 || !d.known.holds("c") {
			t.Errorf("%d pods are marked, held for dead: %t; want one left, and the node for the next try", got, d.known.holds("c"))
		}
		d.pass(leasePeriod)
		if got := d.marked(); got != 0 || d.known.holds("c") {
			t.Errorf("%d pods are marked, held for dead: %t, want none", got, d.known.holds("c"))
		}
	})
}
