// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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
			got := explainExclusion("192.0.2.1", test.nodes, test.rules)
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
