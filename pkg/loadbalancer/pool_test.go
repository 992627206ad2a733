// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

func TestPoolWithAWrongCommunity(t *testing.T) {
	pool := &v1alpha1.AddressPool{Spec: v1alpha1.AddressPoolSpec{
		Addresses: []v1alpha1.AddressRange{"10.0.0.0/24"},
		Announce: []v1alpha1.Announcement{
			{L2: &v1alpha1.L2Announcement{}},
			{BGP: &v1alpha1.BGPAnnouncement{Communities: []v1alpha1.Community{"64512:100", "65536:1"}}},
		},
	}}
	spec, err := poolSpec(pool)
	if err == nil || !strings.Contains(err.Error(), `spec.announce[1].bgp.communities[1]: community "65536:1"`) || !spec.Disabled {
		t.Errorf("got %v, disabled %v; want the community named, and no address handed out", err, spec.Disabled)
	}
	pool.Spec.Announce[1].BGP.Communities[1] = "no-export"
	if spec, err := poolSpec(pool); err != nil || spec.Disabled {
		t.Errorf("mended: %v, disabled %v", err, spec.Disabled)
	}
}

func TestRulesOnRecord(t *testing.T) {
	if got := (NodeRules{}).onRecord(); got != nil {
		t.Errorf("the defaults are written down as %+v", got)
	}
	want := &v1alpha1.NodeRules{IgnoreExcludeLabel: true}
	if diff := cmp.Diff(want, NodeRules{IgnoreExcludeLabel: true}.onRecord()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
