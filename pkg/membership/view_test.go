// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"
)

func listed(boot byte, leaving bool) memberlist.Node {
	return memberlist.Node{Name: "b", Addr: net.IP{10, 0, 0, 2}, Port: 7946, Meta: meta{boot: bootID{boot}, leaving: leaving}.marshal()}
}

func TestViewEvents(t *testing.T) {
	now := time.Unix(1000, 0)
	type step = func(v *view) []Event
	join := func(boot byte) step { return func(v *view) []Event { return v.joined(listed(boot, false), now) } }
	judge := func(failed, suspect bool, c Cause) step {
		return func(v *view) []Event { return v.judged("b", failed, suspect, c, now) }
	}
	gone := func(v *view) []Event { return v.delisted("b", now) }
	bye := func(v *view) []Event { return v.leaving("b", bootID{1}, now) }
	conceded := func(v *view) []Event { return v.conceded("b", now) }
	failed, suspected := judge(true, false, CauseHeartbeat), judge(false, true, CauseHeartbeat)
	heard, probed := judge(false, false, CauseHeartbeat), judge(false, false, CauseProbe)
	for _, tc := range []struct {
		name  string
		steps []step
		want  string
		state State
	}{
		{"joins", []step{join(1), join(1)}, "joined/gossip", StateAlive},
		{"suspicion is no event", []step{join(1), suspected, heard}, "joined/gossip", StateAlive},
		{"suspicion shows", []step{join(1), suspected}, "joined/gossip", StateSuspect},
		{"heartbeats first, memberlist confirms", []step{join(1), suspected, failed, gone}, "joined/gossip failed/heartbeat", StateDead},
		{"memberlist alone", []step{join(1), gone, conceded}, "joined/gossip failed/gossip", StateDead},
		{"memberlist alone, in dispute", []step{join(1), gone, heard}, "joined/gossip", StateSuspect},
		{"refuted in time", []step{join(1), gone, join(1), conceded}, "joined/gossip", StateAlive},
		{"memberlist first, heartbeats confirm", []step{join(1), gone, failed, conceded}, "joined/gossip failed/heartbeat", StateDead},
		{"leaves in dispute", []step{join(1), gone, bye, conceded}, "joined/gossip left/leave", StateLeft},
		{"restarts in dispute", []step{join(1), gone, join(2), conceded}, "joined/gossip failed/restart joined/gossip", StateAlive},
		{"heard again", []step{join(1), failed, heard}, "joined/gossip failed/heartbeat recovered/heartbeat", StateAlive},
		{"probed", []step{join(1), failed, probed}, "joined/gossip failed/heartbeat recovered/probe", StateAlive},
		{"comes back", []step{join(1), failed, gone, join(1)}, "joined/gossip failed/heartbeat joined/gossip", StateAlive},
		{"heard but not a member", []step{join(1), gone, conceded, heard}, "joined/gossip failed/gossip", StateDead},
		{"leaves", []step{join(1), bye, gone}, "joined/gossip left/leave", StateLeft},
		{"leaves, silent later", []step{join(1), bye, failed}, "joined/gossip left/leave", StateLeft},
		{"restarts unnoticed", []step{join(1), join(2)}, "joined/gossip failed/restart joined/gossip", StateAlive},
		{"restarts after leaving", []step{join(1), bye, join(2)}, "joined/gossip left/leave joined/gossip", StateAlive},
		{"goodbye of a former life", []step{join(2), bye}, "joined/gossip", StateAlive},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := newView("a")
			var got []string
			for _, s := range tc.steps {
				for _, e := range s(v) {
					got = append(got, e.Kind.String()+"/"+string(e.Cause))
				}
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
			if s := v.members["b"].State; s != tc.state {
				t.Errorf("ends %v, want %v", s, tc.state)
			}
		})
	}
}

func TestParseLogLine(t *testing.T) {
	for _, tc := range []struct {
		line, msg string
		level     int
	}{
		{"[ERR] memberlist: Failed to send ping\n", "Failed to send ping", 1},
		{"[WARN] memberlist: Refuting", "Refuting", 2},
		{"[INFO] memberlist: Suspect b", "Suspect b", 3},
		{"[DEBUG] memberlist: Stream connection", "Stream connection", 5},
		{"[ERR] Failed to shutdown", "Failed to shutdown", 1},
		{"no level", "no level", 4},
	} {
		if level, msg := parseLogLine([]byte(tc.line)); level != tc.level || msg != tc.msg {
			t.Errorf("%q: level %d, %q; want %d, %q", tc.line, level, msg, tc.level, tc.msg)
		}
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	secret := []byte("seventeen secrets")
	_, err := Config{
		BindAddr: netip.MustParseAddrPort("0.0.0.0:7946"), Keys: [][]byte{secret},
		Tuning: Tuning{ProbeTimeout: time.Second, HeartbeatMisses: -1},
	}.complete()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"node name", "bind address 0.0.0.0", "key 1 of 1 has 17 bytes", "probe timeout 1s", "heartbeat misses -1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %q", err, want)
		}
	}
	if strings.Contains(err.Error(), string(secret)) {
		t.Error("the error contains the key")
	}
	good, err := Config{NodeName: "a", BindAddr: netip.MustParseAddrPort("[fd00::1]:0"), Keys: [][]byte{testKey}}.complete()
	if err != nil {
		t.Fatal(err)
	}
	if got := good.BindAddr.String(); got != "[fd00::1]:7946" || good.HeartbeatPort != 7947 {
		t.Errorf("binds %s, heartbeats on %d", got, good.HeartbeatPort)
	}
}

func TestDueSeedsBackOff(t *testing.T) {
	a := netip.MustParseAddrPort("10.0.0.1:7946")
	retries, start := map[netip.AddrPort]retry{}, time.Unix(1000, 0)
	var at []time.Duration
	for d := time.Duration(0); d <= 10*time.Second; d += 250 * time.Millisecond {
		if len(dueSeeds([]netip.AddrPort{a}, retries, start.Add(d), 250*time.Millisecond, 3*time.Second)) > 0 {
			at = append(at, d)
		}
	}
	want := []time.Duration{
		0, 250 * time.Millisecond, 750 * time.Millisecond, 1750 * time.Millisecond, 3750 * time.Millisecond,
		6750 * time.Millisecond, 9750 * time.Millisecond,
	}
	if !slices.Equal(at, want) {
		t.Errorf("tried at %v, want %v", at, want)
	}
	if dueSeeds(nil, retries, start, 0, 0); len(retries) != 0 {
		t.Error("a seed that came back keeps its pause")
	}
}

func TestRingNeighbourhood(t *testing.T) {
	r := newRing([]string{"c", "a", "e", "b", "d", "a"})
	if diff := cmp.Diff([]string{"e", "a", "b"}, r.watchers("d")); diff != "" {
		t.Error(diff)
	}
	for _, name := range r {
		for _, w := range r.watchers(name) {
			if !slices.Contains(r.watched(w), name) {
				t.Errorf("%s does not watch %s", w, name)
			}
		}
	}
	if got := newRing([]string{"a"}).watchers("a"); len(got) != 0 {
		t.Errorf("a lone member is watched by %v", got)
	}
}
