// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/settings"
)

// TestAPublishedAddressStays: what names a reservation or a pool to stay in does not move an address that clients know.
func TestAPublishedAddressStays(t *testing.T) {
	const elsewhere = "service.beta.kubernetes.io/alibaba-cloud-loadbalancer-"
	for _, test := range []struct {
		name, key, value string
		refused          bool
	}{
		{"another reservation", settings.IDKey, "other", true},
		{"a reservation by another address", elsewhere + "id", "10.0.0.2", true},
		{"the same address", elsewhere + "id", "10.0.0.1", false},
		{"an address of the other family", elsewhere + "id", "fd00::2", false},
		{"another address that is wanted", settings.AddressesKey, "10.0.0.2", false},
		{"another pool to stay in", elsewhere + "vswitch-id", "q", true},
		{"another zone's pool", elsewhere + "zone-maps", "a:q", true},
		{"another pool", settings.AddressPoolKey, "q", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			service := &corev1.Service{}
			service.Annotations = map[string]string{test.key: test.value}
			want, _, err := settings.NewParser(settings.Config{}).Parse(service)
			if err != nil {
				t.Fatal(err)
			}
			if err := stays(claimed("10.0.0.1"), service, want); err != nil {
				t.Errorf("before it is published: %v", err)
			}
			service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "10.0.0.1"}}
			err = stays(claimed("10.0.0.1"), service, want)
			if refused := errors.Is(err, settings.ErrInvalid); refused != test.refused || refused && !strings.Contains(err.Error(), test.key) {
				t.Errorf("got %v, want refused %t, by its key", err, test.refused)
			}
		})
	}
}
