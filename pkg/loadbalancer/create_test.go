// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ktesting "k8s.io/client-go/testing"
	"k8s.io/component-base/metrics"
	"k8s.io/utils/keymutex"

	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned/fake"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// TestClaimThatWasAnsweredTooLate loses the answer to a write that succeeded. The next try, which no informer has told of
// it, finds its own claim and takes no second address.
func TestClaimThatWasAnsweredTooLate(t *testing.T) {
	api := fake.NewSimpleClientset()
	lost := false
	api.PrependReactor("create", "virtualips", func(action ktesting.Action) (bool, runtime.Object, error) {
		if lost {
			return false, nil, nil // the tracker answers
		}
		lost = true
		if err := api.Tracker().Add(action.(ktesting.CreateAction).GetObject()); err != nil {
			return true, nil, err
		}
		return true, nil, apierrors.NewTimeoutError("the answer is lost", 1)
	})
	r := reconcilerOf(api, NodeRules{})
	addresses, err := ipam.ParseRange("10.0.0.1-10.0.0.9")
	if err != nil {
		t.Fatal(err)
	}
	r.book.setPools([]ipam.PoolSpec{{Name: "p", Addresses: []ipam.Range{addresses}, AutoAssign: true}}, nil)
	service, want := balanced("ns", "web", 80), settings.Settings{AddressesPerFamily: 1}
	claim := func() (*v1alpha1.VirtualIP, error) {
		return r.create(t.Context(), service, want, r.request(service, want, ipam.IPv4))
	}
	if vip, err := claim(); !apierrors.IsTimeout(err) {
		t.Fatalf("first try: %v, %v, want the timeout", vip, err)
	}
	vip, err := claim()
	if err != nil || vip.Name != "10.0.0.1" {
		t.Errorf("second try: %v, %v, want 10.0.0.1", vip, err)
	}
	all, err := api.FairleadV1alpha1().VirtualIPs().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(all.Items) != 1 {
		t.Errorf("there are %d VirtualIPs (%v), want 1", len(all.Items), err)
	}
}

// TestAllocationMetrics reads what docs/addresses.md names after one claim and two failures.
func TestAllocationMetrics(t *testing.T) {
	w := newWorld(t, poolOf("p", "10.0.0.1"))
	registry := metrics.NewKubeRegistry()
	for _, metric := range w.Metrics() {
		registry.MustRegister(metric)
	}
	w.gets(balanced("ns", "a", 80), "10.0.0.1")
	for _, refused := range []*corev1.Service{balanced("ns", "b", 80), balanced("ns", "c", 80, settings.AddressesKey, "10.0.0.1")} {
		if status, err := w.Ensure(t.Context(), refused); err == nil {
			t.Errorf("Service %s got %v", refused.Name, status)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				name += fmt.Sprintf("{%s=%q}", label.GetName(), label.GetValue())
			}
			got[name] = metric.GetHistogram().GetSampleCount() + uint64(metric.GetCounter().GetValue())
		}
	}
	want := map[string]uint64{
		"fairlead_allocation_duration_seconds":                   1,
		`fairlead_allocation_failures_total{reason="exhausted"}`: 1,
		`fairlead_allocation_failures_total{reason="sharing"}`:   1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// TestServicesDoNotWaitForEachOther holds the locks of eight Services at the same time, as calls do that wait for the API
// server, however few processors there are.
func TestServicesDoNotWaitForEachOther(t *testing.T) {
	r := reconcilerOf(fake.NewSimpleClientset(), NodeRules{})
	for name, locks := range map[string]keymutex.KeyMutex{"Services": r.locks, "sharing keys": r.sharing} {
		held := make(chan struct{})
		go func() {
			defer close(held)
			for i := range 8 {
				locks.LockKey(Key("ns", fmt.Sprint("web-", i)))
			}
		}()
		select {
		case <-held:
		case <-time.After(time.Minute):
			t.Errorf("%s: one waits for another", name)
		}
	}
}
