// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// recorded keeps what an event recorder is told.
type recorded struct {
	record.EventRecorder
	events []string
}

func (r *recorded) Event(about runtime.Object, kind, reason, _ string) {
	switch about := about.(type) {
	case *v1alpha1.VirtualIP:
		r.events = append(r.events, fmt.Sprintf("%s %s on VirtualIP %s", kind, reason, about.Name))
	case *corev1.ObjectReference:
		r.events = append(r.events, fmt.Sprintf("%s %s on %s %s/%s %s", kind, reason, about.Kind, about.Namespace, about.Name, about.UID))
	}
}

func TestEventsReachTheServicesOfAnAddress(t *testing.T) {
	r := &recorded{}
	w := newEventWriter(r, newAgentMetrics())
	vip := &v1alpha1.VirtualIP{Spec: v1alpha1.VirtualIPSpec{Services: []v1alpha1.ServiceClaim{
		{Namespace: "shop", Name: "web", UID: "1"}, {Namespace: "shop", Name: "dns", UID: "2"},
	}}}
	vip.Name = "10.0.0.1"
	w.fallback(vip, "text")
	want := []string{
		"Warning NoSubnetForAddress on VirtualIP 10.0.0.1", "Warning NoSubnetForAddress on Service shop/web 1",
		"Warning NoSubnetForAddress on Service shop/dns 2",
	}
	if d := cmp.Diff(want, r.events); d != "" {
		t.Error(d)
	}
	for range 2 * eventBurst {
		w.takeover(vip, "text")
	}
	if n := len(r.events); n > eventBurst+1 {
		t.Errorf("%d events at once, want no more than %d", n, eventBurst)
	}
}
