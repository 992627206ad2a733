// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"testing"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// TestWhatIsKeptCountsInTheLimit: a namespace gets round the limit neither for a while nor, by what is kept for good, for ever.
func TestWhatIsKeptCountsInTheLimit(t *testing.T) {
	for _, test := range []struct {
		name        string
		annotations []string
	}{
		{"for a while", nil},
		{"for good", []string{settings.Prefix + "preserve-on-delete", "on"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9", func(spec *v1alpha1.AddressPoolSpec) { spec.MaxPerNamespace = 1 }))
			a, b := balanced("ns", "a", 80, test.annotations...), balanced("ns", "b", 80)
			w.gets(a, "10.0.0.1")
			w.refused(b, ipam.ErrNamespaceLimit, "limit of 1 addresses for namespace ns reached")
			a = w.deletes(a)
			w.refused(b, ipam.ErrNamespaceLimit, "limit of 1 addresses for namespace ns reached, 1 kept for deleted Services")
			w.gets(balanced("other", "a", 80), "10.0.0.2")
			w.gets(a, "10.0.0.1")
			w.deletes(a)
			if err := w.EndReservation(t.Context(), w.vip("10.0.0.1")); err != nil {
				t.Fatal(err)
			}
			w.gets(b, "10.0.0.1")
		})
	}
}
