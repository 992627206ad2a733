// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

// overBGP takes an address away from layer 2.
func overBGP(vip *v1alpha1.VirtualIP) {
	vip.Spec.Announce = []v1alpha1.Announcement{{BGP: &v1alpha1.BGPAnnouncement{}}}
}

// TestLayer2AndBack: an address that goes over to BGP is let go, and announced again when it is back.
func TestLayer2AndBack(t *testing.T) {
	withLoop(t, vipA(), func(l *loopTest) {
		l.pass(time.Second)
		layer2 := l.virtualIP("a").Spec.Announce
		for range 2 {
			if !l.wire.answers() {
				t.Fatal("on layer 2, and not answered for")
			}
			l.edit(overBGP)
			if l.wire.answers() {
				t.Fatal("BGP only, and answered for still")
			}
			l.edit(func(vip *v1alpha1.VirtualIP) { vip.Spec.Announce, vip.Spec.Epoch = layer2, vip.Spec.Epoch+1 })
			l.pass(time.Second)
		}
	})
}

// TestMadeAnewIsAnotherObject: deletion and creation may be seen as one change, and the epoch begins again.
func TestMadeAnewIsAnotherObject(t *testing.T) {
	others := func(vip *v1alpha1.VirtualIP) { vip.Spec.Candidates, vip.Spec.Epoch = []string{"n2", "n3"}, 7 }
	withLoop(t, vipA(others), func(l *loopTest) {
		l.put(vipA(func(vip *v1alpha1.VirtualIP) { vip.UID = "2" }))
		l.pass(time.Second)
		if !l.wire.answers() {
			t.Error("n1 is the only candidate of the new object, and does not announce")
		}
		l.put(vipA(others, func(vip *v1alpha1.VirtualIP) { vip.UID, vip.Spec.Candidates = "3", nil }))
		l.pass(time.Second)
		if l.wire.answers() {
			t.Error("the next object has no candidates, and n1 announces it")
		}
		if got := l.virtualIP("a").Status.Node; got != "" {
			t.Errorf("status of the object made anew names node %q", got)
		}
	})
}

// unsynced has the agent never take part.
type unsynced struct{ *loopTest }

func (unsynced) synced() bool { return false }

// TestEarlierCandidacySaysNothing: a node that is a candidate again is judged anew. One that has spoken of an address before
// anybody announced it is as ready as it was.
func TestEarlierCandidacySaysNothing(t *testing.T) {
	fresh := vipA(func(vip *v1alpha1.VirtualIP) {
		vip.Spec.Candidates = []string{"n2", "n1"}
		vip.Spec.Services[0].Ports = []v1alpha1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80}}
	})
	candidates := func(names ...string) func(*v1alpha1.VirtualIP) {
		return func(vip *v1alpha1.VirtualIP) { vip.Spec.Candidates, vip.Spec.Epoch = names, vip.Spec.Epoch+1 }
	}
	var forwarding atomic.Bool
	withLoop(t, fresh, func(l *loopTest) {
		expect := func(when string, want bool) {
			t.Helper()
			l.call(func(context.Context) {
				if _, known := l.machine.Gate(addrOfA()); known != want {
					t.Errorf("%s: gate known %v, want %v", when, known, want)
				}
			})
		}
		expect("nobody has announced the address", true)
		l.edit(func(vip *v1alpha1.VirtualIP) { vip.Status.Node = "n2" })
		expect("another node announces it, and kube-proxy has not followed here", true)
		forwarding.Store(true)
		l.pass(time.Second)
		expect("it has", true)
		l.edit(candidates("n2"))
		expect("this node is no candidate any more", false)
		forwarding.Store(false)
		l.edit(candidates("n2", "n1"))
		expect("it is one again, and has found nothing yet", false)
		forwarding.Store(true)
		l.pass(time.Second)
		expect("it has", true)
	}, func(_ context.Context, l *loopTest) { l.objects = unsynced{l} }, looking(forwarding.Load))
}

// looking has the agent look at addresses, which are translated as forwarding says.
func looking(forwarding func() bool) func(context.Context, *loopTest) {
	return func(ctx context.Context, l *loopTest) {
		look := func(context.Context, netip.Addr, portOf) (bool, error) { return forwarding(), nil }
		l.gates.checker = newProgramChecker(look, func(addrs []netip.Addr) {
			l.do(ctx, func() { l.lookedAt(ctx, addrs) })
		})
	}
}

// TestStandbyIsReadyToTakeOver: a node that has just started and is told that it may take part can take an address that
// another one announces, which is updated next and will ask it.
func TestStandbyIsReadyToTakeOver(t *testing.T) {
	standby := vipA(func(vip *v1alpha1.VirtualIP) {
		vip.Spec.Candidates, vip.Status.Node = []string{"n2", "n1"}, "n2"
		vip.Spec.Services[0].Ports = []v1alpha1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80}}
	})
	withLoop(t, standby, func(l *loopTest) {
		l.pass(time.Second)
		l.call(func(context.Context) {
			if gate, known := l.machine.Gate(addrOfA()); !known || gate != ownership.GateOpen {
				t.Errorf("the gate is %v, known %v, a second after the start", gate, known)
			}
		})
	}, followedByKubeProxy)
}

// TestFirstCandidateIsOut: the node that claims a new address in its place has not looked at it yet, and does so at once.
func TestFirstCandidateIsOut(t *testing.T) {
	second := vipA(func(vip *v1alpha1.VirtualIP) {
		vip.Spec.Candidates = []string{"n2", "n1"}
		vip.Spec.Services[0].Ports = []v1alpha1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80}}
	})
	withLoop(t, second, func(l *loopTest) {
		l.pass(probeTime + time.Second)
		if !l.wire.answers() {
			t.Error("not answered for once the network has been searched")
		}
	}, followedByKubeProxy)
}

// TestRoutedAddressIsCheckedWithoutCandidates: BGP announces it from all nodes, so that nobody is a candidate.
func TestRoutedAddressIsCheckedWithoutCandidates(t *testing.T) {
	routed := vipA(overBGP, func(vip *v1alpha1.VirtualIP) {
		vip.Spec.Candidates = nil
		vip.Spec.Services[0].Ports = []v1alpha1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80}}
		vip.Spec.Services[0].HealthCheck = &v1alpha1.HealthCheck{Type: v1alpha1.HealthCheckTCP}
	})
	withLoop(t, routed, func(l *loopTest) {
		l.pass(2 * standbyLook)
		if got := l.gates.state(addrOfA()); got != programmed {
			t.Errorf("what kube-proxy has made of the address is %v", got)
		}
	}, followedByKubeProxy, func(_ context.Context, l *loopTest) { l.routing.setRouters([]string{"tor-a"}) })
}

// followedByKubeProxy has addresses looked at, and kube-proxy follow at once.
func followedByKubeProxy(ctx context.Context, l *loopTest) {
	looking(func() bool { return true })(ctx, l)
}
