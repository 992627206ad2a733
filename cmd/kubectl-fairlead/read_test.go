// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// TestRulesOfTheNamespaceThatFairleadIsIn: the cloud config is read where the flag says, and not to find it is no secret.
func TestRulesOfTheNamespaceThatFairleadIsIn(t *testing.T) {
	config := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "edge", Name: configName},
		Data: map[string]string{
			configKey: "apiVersion: config.fairlead.dev/v1alpha1\nkind: CloudConfig\nnodes: {excludeLabel: Ignore, leaveOnCordon: true}\nsettings: {disabledDialects: [alibaba-cloud]}\n",
		},
	}
	for _, test := range []struct {
		name    string
		home    string
		want    loadbalancer.NodeRules
		off     []settings.Dialect
		warning string
	}{
		{"where it is", "edge", loadbalancer.NodeRules{IgnoreExcludeLabel: true, LeaveOnCordon: true}, []settings.Dialect{settings.AlibabaCloud}, ""},
		{"elsewhere", "fairlead-system", loadbalancer.NodeRules{}, nil, "--fairlead-namespace"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var warnings bytes.Buffer
			got, off, err := clients{kube: fake.NewClientset(config), home: test.home, warnings: &warnings}.config(t.Context())
			if err != nil || got != test.want || !slices.Equal(off, test.off) {
				t.Errorf("%+v, %v, %v, want %+v, %v", got, off, err, test.want, test.off)
			}
			if text := warnings.String(); !strings.Contains(text, test.warning) || (text == "") != (test.warning == "") {
				t.Errorf("warned %q, want %q in it", text, test.warning)
			}
		})
	}
}
