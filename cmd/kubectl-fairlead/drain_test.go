// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned/fake"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// TestDrainedOfBoth: a node is empty when it announces nothing on layer 2, and nothing by BGP either.
func TestDrainedOfBoth(t *testing.T) {
	owned := func(node string) runtime.Object {
		return &v1alpha1.VirtualIP{
			ObjectMeta: metav1.ObjectMeta{Name: "192.0.2.9"}, Spec: v1alpha1.VirtualIPSpec{Address: "192.0.2.9"},
			Status: v1alpha1.VirtualIPStatus{Node: node},
		}
	}
	tells := func(node string, prefixes int32) runtime.Object {
		return &v1alpha1.Announcer{ObjectMeta: metav1.ObjectMeta{Name: node}, Status: v1alpha1.AnnouncerStatus{
			BGP: []v1alpha1.BGPSession{{Peer: "tor-a", Prefixes: prefixes}, {Peer: "tor-b"}},
		}}
	}
	for _, test := range []struct {
		name    string
		objects []runtime.Object
		want    string // nothing: it is empty
	}{
		{"no agent", nil, ""},
		{"others announce", []runtime.Object{owned("n2"), tells("n2", 3), tells("n1", 0)}, ""},
		{"layer 2", []runtime.Object{owned("n1"), tells("n1", 0)}, "still announces [192.0.2.9]"},
		{"BGP", []runtime.Object{owned("n2"), tells("n1", 3)}, "still announces addresses to the BGPPeers [tor-a]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			if err := (clients{fairlead: fake.NewSimpleClientset(test.objects...)}).awaitEmpty(t.Context(), "n1", time.Millisecond); err != nil {
				got = err.Error()
			}
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
