// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestJudge(t *testing.T) {
	vip, probed, host := addr("10.0.0.100"), addr("10.0.0.101"), addr("10.0.0.1")
	is := func(want netip.Addr) func(netip.Addr) bool {
		return func(a netip.Addr) bool { return a == want }
	}
	for _, c := range []struct {
		name string
		msg  message
		from station
		want verdict
	}{
		{name: "question for an announced address", msg: message{asks: vip, claims: host, replyTo: host}, want: verdict{reply: true}},
		{name: "a peer's question", from: peer, msg: message{asks: vip, claims: host, replyTo: host}, want: verdict{reply: true}},
		{name: "question for another", msg: message{asks: host, claims: host, replyTo: host}},
		{name: "this machine's own kernel asks", from: self, msg: message{asks: vip, claims: host, replyTo: host}},
		{name: "own announcement looped back", from: self, msg: message{asks: vip, claims: vip, replyTo: vip}},
		{name: "gratuitous request of the address", msg: message{asks: vip, claims: vip, replyTo: vip}, want: verdict{contested: vip}},
		{name: "reply claiming the address", msg: message{claims: vip, replyTo: vip}, want: verdict{contested: vip}},
		{name: "user of the address asks for another", msg: message{asks: host, claims: vip, replyTo: vip}, want: verdict{contested: vip}},
		{name: "stranger's probe for the address is answered", msg: message{asks: vip, replyTo: netip.IPv4Unspecified()}, want: verdict{reply: true}},
		{name: "user answers our probe", msg: message{claims: probed, replyTo: probed}, want: verdict{found: probed}},
		{name: "stranger probes what we probe", msg: message{asks: probed, replyTo: netip.IPv4Unspecified()}, want: verdict{found: probed}},
		{name: "peer probes what we probe", from: peer, msg: message{asks: probed, replyTo: netip.IPv4Unspecified()}},
		{name: "peer has what we probe", from: peer, msg: message{claims: probed, replyTo: probed}, want: verdict{found: probed}},
		{name: "somebody asks for what we probe", msg: message{asks: probed, claims: host, replyTo: host}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, judge(c.msg, c.from, is(vip), is(probed)), addrs); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDefenceOncePerInterval(t *testing.T) {
	var d defence
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		who   station
		after time.Duration
		want  bool
	}{
		{peer, 0, true},
		{stranger, time.Second, true}, // whatever the cluster does meanwhile
		{peer, 2 * time.Second, false},
		{stranger, 10 * time.Second, false},
		{peer, 10 * time.Second, true},
		{stranger, 11 * time.Second, true},
		{stranger, 20 * time.Second, false},
		{stranger, 21 * time.Second, true},
	} {
		if got := d.due(c.who, now.Add(c.after)); got != c.want {
			t.Errorf("station %d after %v: %v, want %v", c.who, c.after, got, c.want)
		}
	}
}

func TestChoose(t *testing.T) {
	link := func(index int, name string, prefixes ...string) Link {
		l := Link{Index: index, Name: name, MAC: MAC{2, 0, 0, 0, 0, byte(index)}, Up: true}
		for _, p := range prefixes {
			l.Addresses = append(l.Addresses, netip.MustParsePrefix(p))
		}
		return l
	}
	eth0 := link(2, "eth0", "10.0.0.5/8", "fd00::5/64")
	eth0.DefaultRoute4 = true
	vlan := link(3, "eth0.7", "10.7.0.5/24")
	down := link(4, "eth1", "192.168.0.5/24")
	down.Up = false
	ipvs := link(5, "kube-ipvs0", "192.168.1.1/32")
	ipvs.NoARP = true
	slave := link(6, "eth2", "172.16.0.5/24")
	slave.Enslaved = true
	dummy := link(7, "dummy0", "203.0.113.7/32")
	all := []Link{{Index: 1, Name: "lo", Up: true, Loopback: true}, eth0, vlan, down, ipvs, slave, dummy}
	for _, c := range []struct {
		name, addr string
		globs      []string
		want       []string
		fallback   bool
	}{
		{name: "by subnet", addr: "10.1.0.1", want: []string{"eth0"}},
		{name: "by the longest subnet", addr: "10.7.0.100", want: []string{"eth0.7"}},
		{name: "by IPv6 subnet", addr: "fd00::100", want: []string{"eth0"}},
		{name: "by default route", addr: "198.51.100.1", want: []string{"eth0"}, fallback: true},
		{name: "no default route of the family", addr: "2001:db8::1"},
		{name: "subnet of a link that is down", addr: "192.168.0.100", want: []string{"eth0"}, fallback: true},
		{name: "a host prefix is no subnet", addr: "203.0.113.7", want: []string{"eth0"}, fallback: true},
		{name: "a bond's slave is passed over", addr: "172.16.0.100", want: []string{"eth0"}, fallback: true},
		{name: "by name", addr: "198.51.100.1", globs: []string{"eth0.7"}, want: []string{"eth0.7"}},
		{name: "by pattern, usable ones only", addr: "10.1.0.1", globs: []string{"eth*"}, want: []string{"eth0", "eth0.7"}},
		{name: "no match", addr: "10.1.0.1", globs: []string{"ib*"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Choose(all, addr(c.addr), c.globs)
			var names []string
			for _, l := range got.Links {
				names = append(names, l.Name)
			}
			if diff := cmp.Diff(c.want, names); diff != "" || got.Fallback != c.fallback {
				t.Errorf("fallback %v\n%s", got.Fallback, diff)
			}
		})
	}
}

func TestScheduleOutlastsLocktime(t *testing.T) {
	start := time.Unix(1000, 0)
	s := DefaultSchedule()
	// An entry confirmed just before the takeover may not change for a second
	// (Linux's locktime); each form must come after that too.
	late := map[Form]bool{}
	prev := start
	for n := range s.Burst {
		form, due, ok := s.next(n, start, prev, 0.5)
		if !ok || due.Before(prev) {
			t.Fatalf("step %d at %v after %v", n, due, prev)
		}
		late[form] = late[form] || due.Sub(start) > time.Second
		prev = due
	}
	if !late[FormRequest] || !late[FormReply] {
		t.Errorf("forms after the locktime: %v", late)
	}
	for _, random := range []float64{0, 0.5, 0.999} {
		_, due, ok := s.next(len(s.Burst), start, prev, random)
		if wait := due.Sub(prev); !ok || wait < 48*time.Second || wait > 72*time.Second {
			t.Errorf("random %v: repeated after %v", random, wait)
		}
	}
	if _, _, ok := (Schedule{Burst: []Step{{}}}).next(1, start, start, 0); ok {
		t.Error("a schedule without Repeat goes on")
	}
	for i, step := range s.forNDP().Burst {
		if i > 0 && step.After-s.forNDP().Burst[i-1].After < 50*time.Millisecond {
			t.Errorf("NDP repeats the same message after %v", step.After)
		}
	}
}
