// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"errors"
	"testing"

	"github.com/fairlead-io/fairlead/pkg/ipam"
)

func TestShare(t *testing.T) {
	tcp53, udp53 := ipam.Port{Protocol: "TCP", Port: 53}, ipam.Port{Protocol: "UDP", Port: 53}
	owner := ipam.Claim{
		Namespace: "x", Name: "dns", SharingKey: "k", Ports: []ipam.Port{udp53},
		Selector: map[string]string{"app": "dns"}, Settings: map[string]string{"pool": "office"},
	}
	newcomer := owner
	newcomer.Name, newcomer.Ports = "dns-tcp", []ipam.Port{tcp53}
	for _, tc := range []struct {
		name  string
		edit  func(a *ipam.Shared, n *ipam.Claim)
		cause ipam.Cause
		text  string
	}{
		{name: "other protocol", edit: func(*ipam.Shared, *ipam.Claim) {}},
		{
			name: "same port", edit: func(_ *ipam.Shared, n *ipam.Claim) { n.Ports = append(n.Ports, udp53) },
			cause: ipam.CausePort, text: "port UDP/53 belongs to x/dns",
		},
		{name: "own claim", edit: func(_ *ipam.Shared, n *ipam.Claim) { n.Name, n.Ports = "dns", []ipam.Port{udp53, tcp53} }},
		{
			name: "other key", edit: func(_ *ipam.Shared, n *ipam.Claim) { n.SharingKey = "q" },
			cause: ipam.CauseKey, text: `x/dns has sharing key "k", this Service "q"`,
		},
		{name: "no key", edit: func(_ *ipam.Shared, n *ipam.Claim) { n.SharingKey = "" }, cause: ipam.CauseKey},
		{
			name: "owner without key", edit: func(a *ipam.Shared, n *ipam.Claim) { a.Claims[0].SharingKey, n.SharingKey = "", "" },
			cause: ipam.CauseNotShareable,
		},
		{name: "declared, without keys", edit: func(a *ipam.Shared, n *ipam.Claim) {
			a.Declared, a.Claims[0].SharingKey, n.SharingKey = true, "", ""
		}},
		{name: "declared, with another key", edit: func(a *ipam.Shared, n *ipam.Claim) {
			a.Declared, a.SharingKey, a.Claims = true, "vip", nil
		}, cause: ipam.CauseKey, text: `the VirtualIP has sharing key "vip", this Service "k"`},
		{name: "other namespace", edit: func(_ *ipam.Shared, n *ipam.Claim) { n.Namespace = "y" }, cause: ipam.CauseNamespace},
		{name: "other namespace, allowed", edit: func(a *ipam.Shared, n *ipam.Claim) { a.AcrossNamespaces, n.Namespace = true, "y" }},
		{name: "Local with the same pods", edit: func(a *ipam.Shared, n *ipam.Claim) { a.Claims[0].Local, n.Local = true, true }},
		{name: "Local with other pods", edit: func(_ *ipam.Shared, n *ipam.Claim) {
			n.Local, n.Selector = true, map[string]string{"app": "web"}
		}, cause: ipam.CauseLocalTraffic},
		{name: "Local without selectors", edit: func(a *ipam.Shared, n *ipam.Claim) {
			n.Local, n.Selector, a.Claims[0].Selector = true, nil, nil
		}, cause: ipam.CauseLocalTraffic},
		{name: "Local in two namespaces", edit: func(a *ipam.Shared, n *ipam.Claim) {
			a.AcrossNamespaces, n.Namespace, n.Local = true, "y", true
		}, cause: ipam.CauseLocalTraffic},
		{name: "Cluster with other pods", edit: func(_ *ipam.Shared, n *ipam.Claim) { n.Selector = nil }},
		{
			name: "setting differs", edit: func(_ *ipam.Shared, n *ipam.Claim) { n.Settings = map[string]string{"pool": "lab"} },
			cause: ipam.CauseSetting, text: `pool is set to "office" by x/dns, and to "lab" by this Service`,
		},
		{name: "setting inherited", edit: func(_ *ipam.Shared, n *ipam.Claim) { n.Settings = nil }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			address, n := ipam.Shared{Claims: []ipam.Claim{owner}}, newcomer
			tc.edit(&address, &n)
			err := ipam.Share(address, n)
			var conflict *ipam.SharingConflict
			if errors.As(err, &conflict) != (tc.cause != "") || err != nil && !errors.Is(err, ipam.ErrSharing) {
				t.Fatalf("got %v, want cause %q", err, tc.cause)
			}
			if conflict != nil && (conflict.Cause != tc.cause || tc.text != "" && err.Error() != tc.text) {
				t.Errorf("got %s %q, want %s %q", conflict.Cause, err, tc.cause, tc.text)
			}
		})
	}
}
