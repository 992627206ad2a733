// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/l2"
)

// TestInventory: whatever an interface is called, it is reported if it leads the node's own traffic out; and every address
// by which the Node may be known, also one of an interface that has no neighbours.
func TestInventory(t *testing.T) {
	mac := l2.MAC{2, 0, 0, 0, 0, 1}
	addresses := func(all ...string) (prefixes []netip.Prefix) {
		for _, text := range all {
			prefixes = append(prefixes, netip.MustParsePrefix(text))
		}
		return prefixes
	}
	reported := func(name, mac string, defaultRoute bool, addresses ...string) []v1alpha1.NodeInterface {
		return []v1alpha1.NodeInterface{{Name: name, MAC: mac, DefaultRoute: defaultRoute, Addresses: addresses}}
	}
	const own = "02:00:00:00:00:01"
	for _, tc := range []struct {
		name string
		link l2.Link
		want []v1alpha1.NodeInterface
	}{
		{"a card without an address", l2.Link{Name: "eth0", MAC: mac, Kind: "device"}, reported("eth0", own, false)},
		{
			"a bridge of the host with the default route",
			l2.Link{Name: "br-ex", MAC: mac, Kind: "bridge", DefaultRoute4: true, Addresses: addresses("192.0.2.5/24")},
			reported("br-ex", own, true, "192.0.2.5/24"),
		},
		{
			"a bridge of the host",
			l2.Link{Name: "br-lan", MAC: mac, Kind: "bridge", Addresses: addresses("192.0.2.5/24")},
			reported("br-lan", own, false, "192.0.2.5/24"),
		},
		{
			"a bridge of Docker", l2.Link{Name: "br-5f3a9c01d2e4", MAC: mac, Kind: "bridge", Addresses: addresses("172.18.0.1/16")}, nil,
		},
		{
			"a container network's interface with the default route",
			l2.Link{Name: "cilium_ex", MAC: mac, DefaultRoute6: true, Addresses: addresses("2001:db8::5/64")},
			reported("cilium_ex", own, true, "2001:db8::5/64"),
		},
		{"a container network's interface", l2.Link{Name: "cni0", MAC: mac, Kind: "bridge", Addresses: addresses("10.244.0.1/24")}, nil},
		{"the outer end of a container's veth", l2.Link{Name: "veth12", MAC: mac, Kind: "veth"}, nil},
		{
			"a veth with an address",
			l2.Link{Name: "eth0", MAC: mac, Kind: "veth", Addresses: addresses("192.0.2.5/24")},
			reported("eth0", own, false, "192.0.2.5/24"),
		},
		{
			"a loopback with an address of the node",
			l2.Link{Name: "lo", Loopback: true, Addresses: addresses("127.0.0.1/8", "10.255.0.5/32")},
			reported("lo", "", false, "10.255.0.5/32"),
		},
		{"a loopback", l2.Link{Name: "lo", Loopback: true, Addresses: addresses("127.0.0.1/8", "::1/128")}, nil},
		{
			"a dummy with an address of the node",
			l2.Link{Name: "dummy0", MAC: mac, Kind: "dummy", NoARP: true, Addresses: addresses("10.255.0.5/32", "fe80::1/64")},
			reported("dummy0", "", false, "10.255.0.5/32"),
		},
		{"a member of a bond", l2.Link{Name: "eth1", MAC: mac, Kind: "device", Enslaved: true}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, inventory([]l2.Link{tc.link})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestAddressForProbesOnABridgeOfTheHost: a name like a container network's does not hide the default route's interface.
func TestAddressForProbesOnABridgeOfTheHost(t *testing.T) {
	uplink := l2.Link{
		Name: "docker-uplink", MAC: l2.MAC{2, 0, 0, 0, 0, 1}, Up: true, DefaultRoute4: true,
		Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.5/24")},
	}
	got := nodeAddress([]l2.Link{uplink}, netip.MustParseAddr("2001:db8::5"), netip.MustParseAddr("192.0.2.100"))
	if want := uplink.Addresses[0].Addr(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
