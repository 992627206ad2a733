// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	kubetesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// pass has time pass, in which resurrect looks after every leasePeriod.
func (d *deadNode) pass(duration time.Duration) {
	for range duration / leasePeriod {
		time.Sleep(leasePeriod)
		d.resurrect(d.t.Context(), d.known)
	}
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

// TestVerdictsThatAreOverAreNotCarriedOut: of two nodes that are lost, the second is seen again, or many more are lost,
// while the first is being marked.
func TestVerdictsThatAreOverAreNotCarriedOut(t *testing.T) {
	names := strings.Split("abcdefghi", "")
	votes := func(lost ...string) (announcers []*v1alpha1.Announcer) {
		for _, name := range names {
			announcers = append(announcers, announcer(name, lost...))
		}
		return announcers
	}
	for _, test := range []struct {
		name string
		then []string
		want string
	}{
		{"nothing changes", []string{"c", "d"}, reasonNodeUnreachable},
		{"it is seen again", []string{"c"}, "True"},
		{"more than a third of the nodes are lost", []string{"c", "d", "e", "f"}, "True"},
	} {
		t.Run(test.name, func(t *testing.T) {
			second := readyPod("second", inService)
			second.Spec.NodeName = "d"
			d := newDeadNode(t, readyPod("first", inService), second)
			d.addNode("d")
			d.count(votes("c", "d")...)
			d.once("patch", "pods", func() error {
				d.count(votes(test.then...)...)
				return nil
			})
			d.bury(t.Context(), d.known)
			if got := [2]string{d.ready("first"), d.ready("second")}; got != [2]string{reasonNodeUnreachable, test.want} {
				t.Errorf("the pods of the first and second node: %v, want the first marked, the second %s", got, test.want)
			}
		})
	}
}

// TestNodesThatAreSparedAreNamed once, while more than a third of all seem dead.
func TestNodesThatAreSparedAreNamed(t *testing.T) {
	d := newDeadNode(t)
	d.addNode("d")
	lost := func(names ...string) {
		for name := range strings.SplitSeq("abcde", "") {
			d.count(announcer(name, names...))
		}
		d.bury(t.Context(), d.known)
	}
	told := d.config.Events.(*record.FakeRecorder).Events
	for i, step := range []struct {
		lost []string
		want int
	}{{[]string{"c", "d"}, 2}, {[]string{"c", "d"}, 0}, {nil, 0}, {[]string{"c", "d"}, 2}} {
		lost(step.lost...)
		if got := len(told); got != step.want {
			t.Errorf("step %d: %d events, want %d", i, got, step.want)
		}
		for len(told) > 0 {
			if text := <-told; !strings.HasPrefix(text, "Warning EndpointsStay ") {
				t.Errorf("step %d: %s", i, text)
			}
		}
	}
}

// TestANodeThatIsBackMakesRoomForTheNext: of three nodes, the second dies before the mark of the first is taken back.
func TestANodeThatIsBackMakesRoomForTheNext(t *testing.T) {
	second := readyPod("second", inService)
	second.Spec.NodeName = "a"
	d := newDeadNode(t, readyPod("first", inService), second)
	d.addNode("a")
	left := newLegacy()
	d.takeTurn(t.Context(), d.known, left)
	d.renewLease()
	d.count(announcer("a"), announcer("b", "a"), announcer("c", "a"))
	d.takeTurn(t.Context(), d.known, left)
	if got := [2]string{d.ready("first"), d.ready("second")}; got != [2]string{reasonNodeUnreachable, reasonNodeUnreachable} {
		t.Errorf("the pods of the first and second node: %v, want the second marked as well", got)
	}
}

// TestMarkingMakesRoomForTheTakeBack: each node takes long to be marked.
func TestMarkingMakesRoomForTheTakeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := readyPod("second", inService)
		second.Spec.NodeName = "d"
		d := newDeadNode(t, readyPod("first", inService), second)
		d.addNode("d")
		for name := range strings.SplitSeq("abcdefghi", "") {
			d.count(announcer(name, "c", "d"))
		}
		d.kube.PrependReactor("patch", "pods", func(kubetesting.Action) (bool, runtime.Object, error) {
			time.Sleep(leasePeriod)
			return false, nil, nil
		})
		for _, want := range []struct {
			more   bool
			marked int
		}{{true, 1}, {true, 2}, {false, 2}} {
			if more := d.bury(t.Context(), d.known); more != want.more || d.marked() != want.marked {
				t.Errorf("%d pods are marked, more are left: %t; want %d, %t", d.marked(), more, want.marked, want.more)
			}
		}
	})
}

// TestPodsOfANodeAreWrittenSeveralAtATime, and never more than that.
func TestPodsOfANodeAreWrittenSeveralAtATime(t *testing.T) {
	const count = 3*podWrites + 1
	synctest.Test(t, func(t *testing.T) {
		var pods []*corev1.Pod
		for i := range count {
			pods = append(pods, readyPod(fmt.Sprint("p", i), inService))
		}
		d := newDeadNode(t, pods...)
		d.config.Kube = slowWrites{d.kube}
		began := time.Now()
		d.bury(t.Context(), d.known)
		if got := d.marked(); got != count {
			t.Errorf("%d of %d pods are marked", got, count)
		}
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("%d pods took %s, want 4 s for writes of 1 s, %d at a time", count, took, podWrites)
		}
	})
}

// slowWrites is a clientset whose patches of pods take a second each.
type slowWrites struct{ kubernetes.Interface }

type (
	slowCore struct{ corev1client.CoreV1Interface }
	slowPods struct{ corev1client.PodInterface }
)

func (s slowWrites) CoreV1() corev1client.CoreV1Interface { return slowCore{s.Interface.CoreV1()} }

func (s slowCore) Pods(namespace string) corev1client.PodInterface {
	return slowPods{s.CoreV1Interface.Pods(namespace)}
}

func (s slowPods) Patch(ctx context.Context, name string, kind types.PatchType, data []byte, options metav1.PatchOptions, subresources ...string) (*corev1.Pod, error) {
	time.Sleep(time.Second)
	return s.PodInterface.Patch(ctx, name, kind, data, options, subresources...)
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
