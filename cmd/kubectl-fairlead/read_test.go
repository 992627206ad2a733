// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

// TestRulesOfTheNamespaceThatFairleadIsIn: the cloud config is read where the flag says, and not to find it is no secret.
func TestRulesOfTheNamespaceThatFairleadIsIn(t *testing.T) {
	config := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "edge", Name: configName},
		Data: map[string]string{
			configKey: "apiVersion: config.fairlead.dev/v1alpha1\nkind: CloudConfig\nnodes: {excludeLabel: Ignore, leaveOnCordon: true}\n",
		},
	}
	for _, test := range []struct {
		name    string
		home    string
		want    loadbalancer.NodeRules
		warning string
	}{
		{"where it is", "edge", loadbalancer.NodeRules{IgnoreExcludeLabel: true, LeaveOnCordon: true}, ""},
		{"elsewhere", "fairlead-system", loadbalancer.NodeRules{}, "--fairlead-namespace"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var warnings bytes.Buffer
			got, err := clients{kube: fake.NewClientset(config), home: test.home, warnings: &warnings}.rules(t.Context())
			if err != nil || got != test.want {
				t.Errorf("%+v, %v, want %+v", got, err, test.want)
			}
			if text := warnings.String(); !strings.Contains(text, test.warning) || (text == "") != (test.warning == "") {
				t.Errorf("warned %q, want %q in it", text, test.warning)
			}
		})
	}
}
