// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// byBGPTo lets a pool be announced by BGP alone.
func byBGPTo(peers ...string) func(*v1alpha1.AddressPoolSpec) {
	return func(spec *v1alpha1.AddressPoolSpec) {
		spec.Announce = []v1alpha1.Announcement{{BGP: &v1alpha1.BGPAnnouncement{Peers: peers, NodeSelector: &metav1.LabelSelector{
			MatchLabels: map[string]string{"rack": "a"},
		}}}}
	}
}

// said returns the events so far.
func (w *world) said() string {
	var out []string
	for len(w.events.Events) > 0 {
		out = append(out, <-w.events.Events)
	}
	return strings.Join(out, "\n")
}

func TestPeersThatDoNotExist(t *testing.T) {
	for _, test := range []struct {
		name, pool, annotation, want string
	}{
		{"all exist", "tor-a", "", ""},
		{"the pool's does not", "tor-typo", "", `Warning NoBGPPeer pool "routed" names the BGPPeer "tor-typo", and there is none of this name`},
		{"the Service's does not", "tor-a", "tor-b,tor-a", "Warning NoBGPPeer annotation " + settings.Prefix + `bgp-peers names the BGPPeer "tor-b"`},
		{"the Service's does", "tor-typo", "tor-a", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, &v1alpha1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "tor-a"}}, poolOf("routed", "192.0.2.9", byBGPTo(test.pool)))
			service := balanced("a", "web", 80)
			if test.annotation != "" {
				service.Annotations[settings.Prefix+"bgp-peers"] = test.annotation
			}
			w.gets(service, "192.0.2.9")
			if got := w.said(); !strings.HasPrefix(got, test.want) || (got == "") != (test.want == "") {
				t.Errorf("said %q, want %q", got, test.want)
			}
		})
	}
}

// TestExclusionOfARoutedAddress has a node that BGP is to announce from, and another one.
func TestExclusionOfARoutedAddress(t *testing.T) {
	for _, test := range []struct {
		name     string
		excluded []string
		warned   bool
	}{{"neither is excluded", nil, false}, {"the other is", []string{"other"}, false}, {"the one is", []string{"one"}, true}} {
		t.Run(test.name, func(t *testing.T) {
			agent := func(name string) *v1alpha1.Announcer {
				return &v1alpha1.Announcer{ObjectMeta: metav1.ObjectMeta{Name: name}}
			}
			w := newWorld(t, agent("one"), agent("other"), poolOf("routed", "192.0.2.9", byBGPTo()))
			for name, rack := range map[string]string{"one": "a", "other": "b"} {
				node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"rack": rack}}}
				for _, excluded := range test.excluded {
					if excluded == name {
						node.Labels[corev1.LabelNodeExcludeBalancers] = ""
					}
				}
				if _, err := w.kube.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
				return len(w.nodesWithAgents()) == 2, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			w.gets(balanced("a", "web", 80), "192.0.2.9")
			if got := w.said(); strings.Contains(got, "Warning NoAnnouncer nobody announces 192.0.2.9") != test.warned {
				t.Errorf("said %q, want a warning: %v", got, test.warned)
			}
		})
	}
}
