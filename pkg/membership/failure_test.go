// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestHeartbeatsFindADeathBeforeMemberlist(t *testing.T) {
	nodes := group(t, 5, calm)
	awaitHearts(t, nodes)
	nodes[1].kill()
	for _, x := range append(nodes[2:], nodes[0]) {
		if e := x.await(t, Failed, "n2"); e.Cause != CauseHeartbeat {
			t.Errorf("%s learnt by %s, want by heartbeat", x.name, e.Cause)
		}
		until(t, "memberlist confirms", func() bool { return x.list.NumMembers() == 4 })
		if got := x.Stats().FailedByHeartbeat; got != 1 {
			t.Errorf("%s counts %d failures by heartbeat, want 1", x.name, got)
		}
	}
}

func TestMemberlistAloneFindsADeath(t *testing.T) {
	nodes := group(t, 3)
	for _, x := range nodes {
		for _, y := range nodes {
			x.parted.Store(netip.AddrPortFrom(y.addr.Addr(), y.addr.Port()+1), true)
		}
	}
	awaitAll(t, nodes, 3)
	for _, x := range nodes {
		x.SetSeeds(nil)
	}
	nodes[2].kill()
	for _, x := range nodes[:2] {
		x.await(t, Failed, "n3")
	}
}

func TestMemberlistOverrulesLostHeartbeats(t *testing.T) {
	nodes := group(t, 3, calm)
	awaitHearts(t, nodes)
	for _, x := range nodes[:2] {
		nodes[2].parted.Store(netip.AddrPortFrom(x.addr.Addr(), x.addr.Port()+1), true)
	}
	for _, x := range nodes[:2] {
		if e := x.await(t, Failed, "n3"); e.Cause != CauseHeartbeat {
			t.Errorf("%s: failed by %s, want by heartbeat", x.name, e.Cause)
		}
		if e := x.await(t, Recovered, "n3"); e.Cause != CauseProbe {
			t.Errorf("%s: recovered by %s, want by probe", x.name, e.Cause)
		}
	}
	awaitAll(t, nodes, 3)
}

func TestPartitionHeals(t *testing.T) {
	nodes := group(t, 5)
	awaitHearts(t, nodes)
	left, right := nodes[:2], nodes[2:]
	part(left, right)
	awaitAll(t, left, 2)
	awaitAll(t, right, 3)
	for side, list := range map[int][]*node{2: left, 3: right} {
		for _, x := range list {
			until(t, "memberlist gives up the other side", func() bool { return x.list.NumMembers() == side })
			x.forgetEvents()
		}
	}
	heal(nodes)
	awaitHearts(t, nodes)
	for _, x := range left {
		for _, y := range right {
			x.await(t, Joined, y.name)
		}
	}
}

func TestIsolatedNodeSeesNobody(t *testing.T) {
	nodes := group(t, 5, calm)
	awaitHearts(t, nodes)
	part(nodes[:1], nodes[1:])
	awaitAll(t, nodes[:1], 1)
	for _, y := range nodes[1:] {
		if e := nodes[0].await(t, Failed, y.name); e.Cause != CauseHeartbeat {
			t.Errorf("%s failed by %s, want by heartbeat", y.name, e.Cause)
		}
	}
	if _, known := nodes[0].Reachable(); known != 5 {
		t.Errorf("knows %d nodes, want 5", known)
	}
}

func TestRestartedNodeFailsAndJoins(t *testing.T) {
	nodes := group(t, 3)
	awaitHearts(t, nodes)
	old := nodes[2].addr
	nodes[2].kill()
	again := start(t, "n3", old.Port(), 2)
	again.SetSeeds(addrs(nodes))
	for _, x := range nodes[:2] {
		x.forgetEvents()
	}
	nodes[2] = again
	awaitHearts(t, nodes)
	for _, x := range nodes[:2] {
		x.await(t, Joined, "n3")
	}
}

func TestNodeReturnsUnderAnotherAddress(t *testing.T) {
	nodes := group(t, 2)
	awaitHearts(t, nodes)
	nodes[1].kill()
	nodes[0].await(t, Failed, "n2")
	until(t, "memberlist drops n2", func() bool { return nodes[0].list.NumMembers() == 1 })
	moved := start(t, "n2", nodes[0].addr.Port(), 7)
	moved.SetSeeds(addrs(nodes[:1]))
	nodes[0].await(t, Joined, "n2")
	until(t, "the new address is known", func() bool {
		return slices.ContainsFunc(nodes[0].Members(), func(m Member) bool { return m.Addr == moved.addr && m.State == StateAlive })
	})
}

func TestWrongKeyCannotJoin(t *testing.T) {
	nodes := group(t, 3, func(i int, c *Config) {
		if i == 2 {
			c.Keys = [][]byte{bytes.Repeat([]byte{9}, 32)}
		}
	})
	awaitAll(t, nodes[:2], 2)
	stranger := nodes[2]
	if _, err := stranger.list.Join([]string{nodes[0].addr.String()}); err == nil {
		t.Error("a node with another key joined")
	}
	for _, x := range nodes[:2] {
		if n, _ := x.Reachable(); n != 2 {
			t.Errorf("%s reaches %d nodes, want 2", x.name, n)
		}
	}
	to := netip.AddrPortFrom(nodes[0].addr.Addr(), nodes[0].addr.Port()+1)
	stranger.hearts.send(sendBeat, nil, []netip.AddrPort{to})
	until(t, "the stranger's heartbeat is counted", func() bool { return nodes[0].Stats().HeartbeatsMalformed > 0 })
}

func TestKeysRotateWithoutInterruption(t *testing.T) {
	nodes := group(t, 2, calm)
	awaitHearts(t, nodes)
	next := bytes.Repeat([]byte{8}, 32)
	for _, keys := range [][][]byte{{testKey, next}, {next, testKey}, {next}} {
		for _, x := range nodes {
			if err := x.SetKeys(keys); err != nil {
				t.Fatal(err)
			}
			for i, from := range nodes {
				to, before := nodes[1-i], nodes[1-i].Stats()
				from.Broadcast([]byte("still here"))
				until(t, "messages and heartbeats pass", func() bool {
					s := to.Stats()
					return s.PayloadsReceived > before.PayloadsReceived && s.HeartbeatsReceived > before.HeartbeatsReceived+2
				})
			}
		}
	}
	for _, x := range nodes {
		if got := x.keyring.GetKeys(); len(got) != 1 || !bytes.Equal(got[0], next) {
			t.Errorf("%s still holds %d keys", x.name, len(got))
		}
		if _, ok := x.find(func(e Event) bool { return e.Kind == Failed }); ok {
			t.Errorf("%s saw a failure during the rotation", x.name)
		}
		if n := x.Stats().HeartbeatsMalformed; n != 0 {
			t.Errorf("%s could not open %d heartbeats", x.name, n)
		}
	}
}

func TestForgedAndReplayedDatagramsAreCounted(t *testing.T) {
	nodes := group(t, 2)
	awaitHearts(t, nodes)
	to := []netip.AddrPort{netip.AddrPortFrom(nodes[0].addr.Addr(), nodes[0].addr.Port()+1)}
	h := nodes[1].hearts
	good, err := h.seal.seal(datagram{from: h.self, seq: h.seq.Add(1), kind: sendBeat})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{{}, {1}, good[:30], append(bytes.Clone(good), 0), bytes.Repeat([]byte{1}, 1400), good, good, good} {
		h.conn.WriteToUDPAddrPort(b, to[0])
	}
	until(t, "five malformed and two replayed", func() bool {
		s := nodes[0].Stats()
		return s.HeartbeatsMalformed == 5 && s.HeartbeatsReplayed == 2
	})
	awaitAll(t, nodes, 2)
}

func TestSendReachesOneMember(t *testing.T) {
	nodes := group(t, 3)
	awaitAll(t, nodes, 3)
	if err := nodes[0].Send("n2", []byte("for you")); err != nil {
		t.Fatal(err)
	}
	if e := nodes[1].await(t, Message, "n1"); string(e.Payload) != "for you" {
		t.Errorf("got %q", e.Payload)
	}
	if err := nodes[0].Send("n9", nil); err == nil {
		t.Error("sent to a node that is not a member")
	}
}

// BenchmarkDetection reports the time from a death until the last survivor has the event.
func BenchmarkDetection(b *testing.B) {
	for _, n := range []int{5, 9} {
		b.Run(map[int]string{5: "5 members", 9: "9 members"}[n], func(b *testing.B) {
			var times []time.Duration
			nodes := group(b, n)
			for i := 0; b.Loop(); i++ {
				awaitHearts(b, nodes)
				for _, x := range nodes {
					x.forgetEvents()
				}
				victim, at := nodes[i%n], time.Now()
				victim.kill()
				var last time.Duration
				for _, x := range nodes {
					if x != victim {
						last = max(last, x.await(b, Failed, victim.name).At.Sub(at))
					}
				}
				times = append(times, last)
				nodes[i%n] = start(b, victim.name, victim.addr.Port(), i%n)
				nodes[i%n].SetSeeds(addrs(nodes))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Milliseconds()), "median-ms")
			b.ReportMetric(float64(times[len(times)-1].Milliseconds()), "worst-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}
