// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	discoveryv1client "k8s.io/client-go/kubernetes/typed/discovery/v1"
)

// listed is a client whose server, as the fake one, lists before it watches.
type listed struct {
	discoveryv1client.EndpointSlicesGetter
}

func (listed) IsWatchListSemanticsUnSupported() bool { return true }

func endpointSlice(name string, kind discoveryv1.AddressType, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "a", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: kind, Endpoints: endpoints,
	}
}

func endpointOn(node, address string, ready *bool) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{address}, NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: ready}}
}

func TestOnlyReadyTwice(t *testing.T) {
	slice := endpointSlice("web-1", discoveryv1.AddressTypeIPv4, endpointOn("n1", "10.0.0.1", nil), endpointOn("n2", "10.0.0.2", nil),
		endpointOn("n3", "10.0.0.3", nil), endpointOn("n1", "10.0.0.4", nil))
	once := onlyReady("n1", slice)
	if got := once.(*discoveryv1.EndpointSlice).Endpoints; len(got) != 3 {
		t.Fatalf("kept %v, want the endpoints on n1 and another", got)
	}
	if diff := cmp.Diff(once, onlyReady("n1", once)); diff != "" {
		t.Errorf("a second pass changes what the first one kept (-once +twice):\n%s", diff)
	}
}

func TestEndpointsOfThisNode(t *testing.T) {
	four, six := discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6
	client := fake.NewClientset(
		endpointSlice("web-1", four, endpointOn("n1", "10.0.0.1", nil), endpointOn("n1", "10.0.0.2", new(true)),
			endpointOn("n1", "10.0.0.3", new(false)), endpointOn("n2", "10.0.0.4", nil)),
		endpointSlice("web-2", four, endpointOn("n1", "10.0.0.2", nil), endpointOn("n1", "10.0.0.5", nil)),
		endpointSlice("web-3", six, endpointOn("n1", "fd00::1", nil)),
	)
	var changes atomic.Int32
	w, err := newEndpointWatch("n1", listed{client.DiscoveryV1()}, func() { changes.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer w.wait()
	defer cancel()
	if _, known := w.count("a", "web", four); known {
		t.Error("a number is known before it was asked for")
	}
	if !w.elsewhere("a", "web", six) {
		t.Error("known before it was asked for that there are no endpoints elsewhere")
	}
	w.start(ctx)
	w.start(ctx)
	soon(t, "the endpoints", func() bool { _, known := w.count("a", "web", four); return known })
	for _, tt := range []struct {
		name, service string
		kind          discoveryv1.AddressType
		want          int
		elsewhere     bool
	}{{"IPv4", "web", four, 3, true}, {"IPv6", "web", six, 1, false}, {"another Service", "other", four, 0, false}} {
		if got := w.elsewhere("a", tt.service, tt.kind); got != tt.elsewhere {
			t.Errorf("%s: elsewhere %v, want %v", tt.name, got, tt.elsewhere)
		}
		if got, known := w.count("a", tt.service, tt.kind); got != tt.want || !known {
			t.Errorf("%s: %d, %v, want %d", tt.name, got, known, tt.want)
		}
	}
	before := changes.Load()
	gone := endpointSlice("web-3", six, endpointOn("n1", "fd00::1", new(false)))
	if _, err := client.DiscoveryV1().EndpointSlices("a").Update(t.Context(), gone, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	soon(t, "an endpoint that is not ready any more", func() bool {
		got, _ := w.count("a", "web", six)
		return got == 0 && changes.Load() > before
	})
}
