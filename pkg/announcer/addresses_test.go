// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"testing"
	"time"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
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
