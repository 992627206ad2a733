// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// calmStart looks at what was told of the sessions since the start: that they came up, and nothing else.
func calmStart(t *testing.T, c *cloud, web addresses) {
	c.awaitSessions(t, "n1", time.Time{}, web)
	for i, r := range c.routers {
		for _, node := range c.Nodes() {
			c.awaitEvent(t, r.peer, "SessionEstablished", fmt.Sprintf("session of node %s with 192.0.2.%d is established", node, i+1))
		}
		for _, e := range c.events(t, r.peer) {
			if e.Type == corev1.EventTypeWarning {
				t.Errorf("%s at the start: %s: %s", r.peer, e.Reason, e.Message)
			}
		}
	}
}

// events are those about a BGPPeer.
func (c *cloud) events(t *testing.T, peer string) []corev1.Event {
	t.Helper()
	list, err := c.Client().CoreV1().Events(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{
		FieldSelector: "involvedObject.kind=BGPPeer,involvedObject.name=" + peer,
	})
	must(t, err)
	return list.Items
}

// awaitEvent waits for an event about a BGPPeer whose text begins so.
func (c *cloud) awaitEvent(t *testing.T, peer, reason, text string) {
	t.Helper()
	lab.Await(t.Context(), t, fmt.Sprintf("the event %s of %s: %s", reason, peer, text), func(context.Context) (bool, string, error) {
		var texts []string
		for _, e := range c.events(t, peer) {
			if e.Reason == reason && strings.HasPrefix(e.Message, text) {
				return true, "", nil
			}
			texts = append(texts, e.Reason+": "+e.Message)
		}
		return false, strings.Join(texts, "\n"), nil
	})
}

const unusablePeers = `apiVersion: fairlead.dev/v1alpha1
kind: BGPPeer
metadata: {name: without-key}
spec: {peerAddress: 192.0.2.99, peerASN: 64500, localASN: 64512, passwordSecret: fairlead-bgp-passwords, passwordKey: tor-z}
---
apiVersion: fairlead.dev/v1alpha1
kind: BGPPeer
metadata: {name: without-secret}
spec: {peerAddress: 192.0.2.98, peerASN: 64500, localASN: 64512, passwordSecret: nowhere}
`

// warned has passwords that are missing, wrong and right again, and looks for what an operator is told: each once.
func warned(t *testing.T, c *cloud, web addresses) {
	ctx := t.Context()
	must(t, c.Apply(ctx, unusablePeers))
	want := map[string]string{
		"without-key":    `session of node n1: spec.passwordSecret "fairlead-bgp-passwords": has no key "tor-z"`,
		"without-secret": `session of node n1: spec.passwordSecret "nowhere": `,
	}
	for peer, text := range want {
		c.awaitEvent(t, peer, "SessionFailed", text)
	}
	c.awaitSessionsOf(t, "n1", func(s v1alpha1.BGPSession) bool { return want[s.Peer] == "" || s.LastError != "" })
	for peer := range want {
		reasons := map[string]int32{}
		for _, e := range c.events(t, peer) {
			if e.Source.Host == "n1" {
				reasons[e.Reason+" "+e.Message] += e.Count
			}
		}
		if len(reasons) != 1 || slices.Collect(maps.Values(reasons))[0] != 1 {
			t.Errorf("n1 says of %s: %v, want one event", peer, reasons)
		}
		must(t, c.fairlead.FairleadV1alpha1().BGPPeers().Delete(ctx, peer, metav1.DeleteOptions{}))
	}

	before := c.session(t, "n1", "tor-b")
	began := time.Now()
	right := c.page.the(t, "Passwords", "yaml")
	must(t, c.Apply(ctx, strings.ReplaceAll(right, "change-me", "changed")))
	for _, node := range c.Nodes() {
		c.awaitEvent(t, "tor-a", "SessionLost",
			fmt.Sprintf("session of node %s with 192.0.2.1 is lost: the session was ended here: its configuration or password changed", node))
		c.awaitEvent(t, "tor-a", "SessionFailed", fmt.Sprintf("session of node %s with 192.0.2.1: ", node))
	}
	must(t, c.Apply(ctx, right))
	for _, node := range c.Nodes() {
		c.awaitSessionsOf(t, node, func(s v1alpha1.BGPSession) bool {
			return s.State == "Established" && s.LastError == "" && (s.Peer != "tor-a" || !s.Since.Time.Before(began.Truncate(time.Second)))
		})
	}
	if after := c.session(t, "n1", "tor-b"); !after.Since.Equal(before.Since) {
		t.Errorf("the session with tor-b before %+v, after %+v: want it untouched by tor-a's password", before, after)
	}
	c.awaitHops(t, web, c.Nodes()...)
}
