// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubetesting "k8s.io/client-go/testing"

	"github.com/fairlead-io/fairlead/pkg/cloudconfig"
)

func TestLeaderFinishesWhatAnEarlierOneBegan(t *testing.T) {
	for _, test := range []struct {
		name, verb, resource string
		lists                []int64
	}{
		{"pods cannot be read at first", "list", "pods", []int64{podsPerPage, podsPerPage}},
		{"the Lease cannot be read at first", "get", "leases", []int64{podsPerPage}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDeadNode(t, readyPod("p1", outOfService), readyPod("p2", inService))
			d.failOnce(test.verb, test.resource)
			left := newLegacy()
			d.inherit(t.Context(), left, d.known)
			if d.known.holds("c") {
				t.Error("inherited before it could be read")
			}
			d.inherit(t.Context(), left, d.known)
			if !d.known.holds("c") {
				t.Error("not inherited")
			}
			if got := d.lists(); !slices.Equal(got, test.lists) {
				t.Errorf("lists of pods with limits %v, want %v", got, test.lists)
			}
			d.bury(t.Context(), d.known)
			if got := d.marked(); got != 2 {
				t.Errorf("%d of 2 pods are marked", got)
			}
		})
	}
}

// TestPodsAreReadInPages: a page expires, and pods are read from the start.
func TestPodsAreReadInPages(t *testing.T) {
	d := newDeadNode(t)
	pages := map[string]*corev1.PodList{
		"":  {ListMeta: metav1.ListMeta{Continue: "2"}, Items: []corev1.Pod{*readyPod("p1", inService)}},
		"2": {ListMeta: metav1.ListMeta{Continue: "3"}, Items: []corev1.Pod{*readyPod("p2", inService)}},
		"3": {Items: []corev1.Pod{*readyPod("p3", outOfService)}},
	}
	var asked []string
	d.kube.PrependReactor("list", "pods", func(action kubetesting.Action) (bool, runtime.Object, error) {
		page := action.(kubetesting.ListActionImpl).ListOptions.Continue
		if asked = append(asked, page); len(asked) == 2 {
			return true, nil, apierrors.NewResourceExpired("too old")
		}
		return true, pages[page], nil
	})
	left := newLegacy()
	for _, want := range []bool{true, false, true, true, false, false} {
		if more := d.inherit(t.Context(), left, d.known); more != want {
			t.Errorf("after pages %q: more are left: %t, want %t", asked, more, want)
		}
	}
	if want := []string{"", "2", "", "2", "3"}; !slices.Equal(asked, want) || !d.known.holds("c") {
		t.Errorf("asked for pages %q, want %q; inherited: %t", asked, want, d.known.holds("c"))
	}
}

// mourning has mourn run until there is nothing to do but to wait.
func (d *deadNode) mourning() {
	ctx, cancel := context.WithCancel(d.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.mourn(ctx)
	}()
	synctest.Wait()
	cancel()
	<-ended
}

// TestNewLeaderMarksFirst: only then it looks at what others have marked.
func TestNewLeaderMarksFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeadNode(t, readyPod("web", inService))
		d.mourning()
		if got := d.ready("web"); got != reasonNodeUnreachable {
			t.Errorf("ready: %s", got)
		}
		if got := d.lists(); !slices.Equal(got, []int64{0, podsPerPage}) {
			t.Errorf("lists of pods with limits %v, want that of the dead node's first", got)
		}
	})
}

func TestEndpointsAreLeftWhereTheyAreToBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeadNode(t, readyPod("web", inService))
		d.config.DeadNodeEndpoints = cloudconfig.DeadNodeLeave
		d.mourning()
		if got := d.ready("web"); got != "True" {
			t.Errorf("ready: %s", got)
		}
	})
}
