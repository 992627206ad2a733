// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairlead-io/fairlead/e2e/netnstest"
)

func flow(proto uint8, dst string) *netlink.ConntrackFlow {
	src := net.ParseIP("10.0.0.1").To4()
	to := net.ParseIP(dst).To4()
	family := uint8(unix.AF_INET)
	if to == nil {
		src, to, family = net.ParseIP("fd00::1"), net.ParseIP(dst), unix.AF_INET6
	}
	f := &netlink.ConntrackFlow{
		FamilyType: family,
		Forward:    netlink.IPTuple{SrcIP: src, DstIP: to, SrcPort: 1000, DstPort: 53, Protocol: proto},
		Reverse:    netlink.IPTuple{SrcIP: to, DstIP: src, SrcPort: 53, DstPort: 1000, Protocol: proto},
		TimeOut:    300,
	}
	if proto == unix.IPPROTO_TCP {
		f.ProtoInfo = &netlink.ProtoInfoTCP{State: 3} // ESTABLISHED
	}
	return f
}

func TestFlushUDP(t *testing.T) {
	netnstest.Enter(t)
	flows := []*netlink.ConntrackFlow{
		flow(unix.IPPROTO_UDP, "10.0.0.100"), flow(unix.IPPROTO_UDP, "10.0.0.101"), flow(unix.IPPROTO_UDP, "fd00::100"),
		flow(unix.IPPROTO_TCP, "10.0.0.100"), flow(unix.IPPROTO_UDP, "10.0.0.102"),
	}
	for _, f := range flows {
		err := netlink.ConntrackCreate(netlink.ConntrackTable, netlink.InetFamily(f.FamilyType), f)
		if errors.Is(err, unix.EOPNOTSUPP) {
			t.Skip("this kernel has no conntrack")
		}
		if err != nil {
			t.Fatalf("creating flow %v: %v", f, err)
		}
	}
	n, err := FlushUDP(netip.MustParseAddr("10.0.0.100"), netip.MustParseAddr("10.0.0.101"), netip.MustParseAddr("fd00::100"))
	if err != nil || n != 3 {
		t.Errorf("deleted %d, %v; want 3", n, err)
	}
	left, err := netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 2 {
		t.Errorf("%d flows left, want the TCP one and the one to another address: %v", len(left), left)
	}
}

func TestUDPTimeout(t *testing.T) {
	netnstest.Enter(t)
	if got := UDPTimeout(); got != 120*time.Second {
		t.Errorf("by default %v, want 2m0s", got)
	}
	for _, c := range []struct{ setting, value string }{{"nf_conntrack_udp_timeout_stream", "200"}, {"nf_conntrack_udp_timeout", "300"}} {
		err := os.WriteFile("/proc/sys/net/netfilter/"+c.setting, []byte(c.value), 0)
		if errors.Is(err, os.ErrNotExist) {
			t.Skip("this kernel has no conntrack")
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, want := UDPTimeout().Seconds(), c.value; fmt.Sprint(got) != want {
			t.Errorf("%s is %s: %v s", c.setting, c.value, got)
		}
	}
}
