// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"testing"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// TestThePoolsOwnStatusMakesNoRoom: it is written at each change of its counts, and would have all who wait try again.
func TestThePoolsOwnStatusMakesNoRoom(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*v1alpha1.AddressPool)
		want   int
	}{
		{"its status", func(pool *v1alpha1.AddressPool) { pool.Status.Capacity.Assigned = "1" }, 0},
		{"its spec", func(pool *v1alpha1.AddressPool) { pool.Spec.Disabled = true }, 1},
		{"made anew", func(pool *v1alpha1.AddressPool) { pool.UID = "2" }, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			rooms := 0
			w.NotifyRoom(func() { rooms++ })
			was := poolOf("p", "10.0.0.1-10.0.0.9")
			is := was.DeepCopy()
			test.change(is)
			w.poolHandlers().OnUpdate(was, is)
			if rooms != test.want {
				t.Errorf("room was made %d times, want %d", rooms, test.want)
			}
		})
	}
}
