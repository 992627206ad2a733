// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// TestTheLastNodesThatAreExcludedGoOn: the event does not say that nobody announces an address that is announced.
func TestTheLastNodesThatAreExcludedGoOn(t *testing.T) {
	w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.99"))
	w.withNodes("n1", "n2")
	service := balanced("ns", "a", 80)
	w.gets(service, "10.0.0.1")
	w.said()
	for _, name := range []string{"n1", "n2"} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelNodeExcludeBalancers: ""}}}
		if _, err := w.kube.CoreV1().Nodes().Update(t.Context(), node, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w.knows(func() bool { return len(w.announcerNodes(settings.AddressSettings{})) == 0 })
	w.gets(service, "10.0.0.1")
	if got := w.vip("10.0.0.1").Spec.Candidates; len(got) == 0 {
		t.Error("the candidates are gone")
	}
	if got := w.said(); !strings.Contains(got, "no node is left for 10.0.0.1, which stays on layer 2 where it is: every node") {
		t.Errorf("said %q", got)
	}
	w.gets(balanced("ns", "b", 80), "10.0.0.2")
	if got := w.said(); !strings.Contains(got, "nobody announces 10.0.0.2: every node that could announce it has the label") {
		t.Errorf("said of a new address: %q", got)
	}
}

func TestExclusionIsExplainedWhereNoNodeIsLeft(t *testing.T) {
	labelled := func(name, value string) announcerNode {
		return announcerNode{node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{corev1.LabelNodeExcludeBalancers: value},
		}}}
	}
	free := announcerNode{node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "free"}}}
	for _, test := range []struct {
		name  string
		nodes []announcerNode
		rules NodeRules
		want  []string // nothing: no explanation
	}{
		{"no node at all", nil, NodeRules{}, nil},
		{"one without the label", []announcerNode{labelled("cp", ""), free}, NodeRules{}, nil},
		{"a label that includes", []announcerNode{labelled("cp", "false")}, NodeRules{}, nil},
		{"the label is ignored", []announcerNode{labelled("cp", "")}, NodeRules{IgnoreExcludeLabel: true}, nil},
		{
			"all have it",
			[]announcerNode{labelled("cp", "")},
			NodeRules{},
			[]string{"192.0.2.1", corev1.LabelNodeExcludeBalancers, "(cp)", "nodes.excludeLabel", "Ignore"},
		},
		{
			"many have it",
			[]announcerNode{labelled("e", ""), labelled("d", ""), labelled("c", "x"), labelled("b", "true"), labelled("a", "")},
			NodeRules{},
			[]string{"(a, b, c and 2 more)"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := explainExclusion(&v1alpha1.VirtualIPSpec{Address: "192.0.2.1"}, test.nodes, test.rules)
			if (got == "") != (len(test.want) == 0) {
				t.Fatalf("got %q", got)
			}
			for _, part := range test.want {
				if !strings.Contains(got, part) {
					t.Errorf("%q lacks %q", got, part)
				}
			}
		})
	}
}
