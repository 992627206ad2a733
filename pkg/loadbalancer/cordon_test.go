// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/settings"
)

// TestAServiceHasItsOwnMindOnCordons: what it says counts, on or off; where it says nothing the cloud config does.
func TestAServiceHasItsOwnMindOnCordons(t *testing.T) {
	const elsewhere = "service.beta.kubernetes.io/alibaba-cloud-loadbalancer-remove-unscheduled-backend"
	for _, key := range []string{settings.Prefix + "leave-on-cordon", elsewhere} {
		for _, test := range []struct {
			said         string
			config, want bool
		}{
			{"", false, false},
			{"", true, true},
			{"on", false, true},
			{"on", true, true},
			{"off", false, false},
			{"off", true, false},
		} {
			service := &corev1.Service{}
			service.Annotations = map[string]string{key: test.said}
			want, _, err := settings.NewParser(settings.Config{}).Parse(service)
			if err != nil {
				t.Fatal(err)
			}
			vip := claimed("10.0.0.1")
			vip.Spec.Services[0] = claimOf(service, want)
			if got := (NodeRules{LeaveOnCordon: test.config}).of(wishes(&vip.Spec)); got.LeaveOnCordon != test.want {
				t.Errorf("%s %q, cloud config %t: %t, want %t", key, test.said, test.config, got.LeaveOnCordon, test.want)
			}
		}
	}
}
