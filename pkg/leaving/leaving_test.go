// SPDX-License-Identifier: Apache-2.0

package leaving

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

func TestSign(t *testing.T) {
	for _, tc := range []struct {
		name string
		node corev1.Node
		want bool
	}{
		{"none", corev1.Node{}, false},
		{"cordoned only", corev1.Node{Spec: corev1.NodeSpec{Unschedulable: true}}, false},
		{"annotation", corev1.Node{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.DrainKey: "true"}}}, true},
		{"label", corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.DrainKey: "true"}}}, true},
		{"annotation false", corev1.Node{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.DrainKey: "false"}}}, false},
		{"autoscaler", corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: v1alpha1.ScaleDownTaint}}}}, true},
		{"another taint", corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: corev1.TaintNodeNotReady}}}}, false},
		{"being deleted", corev1.Node{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &metav1.Time{}}}, true},
		{"out of service", corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: corev1.TaintNodeOutOfService}}}}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Sign(&tc.node); (got != "") != tc.want {
				t.Errorf("sign %q, want one: %v", got, tc.want)
			}
		})
	}
}

func TestExcluded(t *testing.T) {
	if Excluded(map[string]string{"zone": "a"}) {
		t.Error("excluded without the label")
	}
	for value, want := range map[string]bool{"": true, "true": true, "1": true, "yes": true, "false": false, "0": false, "False": false} {
		if got := Excluded(map[string]string{corev1.LabelNodeExcludeBalancers: value}); got != want {
			t.Errorf("label %q: excluded %t, want %t", value, got, want)
		}
	}
}
