// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

func announcing(name string, labels map[string]string, interfaces ...v1alpha1.NodeInterface) announcerNode {
	return announcerNode{node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, interfaces: interfaces}
}

func TestEligibleNodes(t *testing.T) {
	const mac = "02:00:00:00:00:01"
	eth0 := func(prefix string) v1alpha1.NodeInterface {
		return v1alpha1.NodeInterface{Name: "eth0", MAC: mac, Addresses: []string{prefix}, DefaultRoute: true}
	}
	nodes := []announcerNode{
		announcing("n3", nil, eth0("10.0.0.3/24")),
		announcing("n1", map[string]string{"edge": "true"}, eth0("10.0.0.1/24"), v1alpha1.NodeInterface{Name: "bond1", MAC: mac}),
		announcing("n2", nil, eth0("10.9.0.2/24")),
		announcing("n4", nil),
		announcing("n5", nil, // neither has neighbours, and a host's address is no subnet
			v1alpha1.NodeInterface{Name: "bond0", Addresses: []string{"10.0.0.0/8"}, DefaultRoute: true},
			v1alpha1.NodeInterface{Name: "eth1", MAC: mac, Addresses: []string{"10.0.0.100/32"}}),
	}
	l2 := func(announcement v1alpha1.L2Announcement) []v1alpha1.Announcement {
		return []v1alpha1.Announcement{{L2: &announcement}}
	}
	for _, test := range []struct {
		name     string
		address  string
		announce []v1alpha1.Announcement
		with     map[string]bool
		want     []string
	}{
		{"on the subnet, in order", "10.0.0.100", l2(v1alpha1.L2Announcement{}), nil, []string{"n1", "n3"}},
		{"on nobody's subnet, by the default route", "203.0.113.1", l2(v1alpha1.L2Announcement{}), nil, []string{"n1", "n2", "n3"}},
		{"on a named interface", "203.0.113.1", l2(v1alpha1.L2Announcement{Interfaces: []string{"bond*"}}), nil, []string{"n1"}},
		{
			"on selected nodes", "10.0.0.100",
			l2(v1alpha1.L2Announcement{NodeSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"edge": "true"}}}), nil,
			[]string{"n1"},
		},
		{"with endpoints", "10.0.0.100", l2(v1alpha1.L2Announcement{}), map[string]bool{"n2": true, "n3": true}, []string{"n3"}},
		{"with endpoints nowhere", "10.0.0.100", l2(v1alpha1.L2Announcement{}), map[string]bool{}, nil},
		{"by BGP alone", "10.0.0.100", []v1alpha1.Announcement{{BGP: &v1alpha1.BGPAnnouncement{}}}, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := eligible(nodes, netip.MustParseAddr(test.address), test.announce, test.with)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
