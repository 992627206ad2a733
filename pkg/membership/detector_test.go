// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const (
	simInterval = 50 * time.Millisecond
	simMisses   = 2
)

// sim runs real detectors in virtual time over a network that can lose, delay and part.
type sim struct {
	now   time.Time
	start time.Time
	rng   *rand.Rand
	names []string
	nodes map[string]*simNode
	wire  []packet
	// lost decides about each datagram; delay is added to each.
	lost  func(from, to string) bool
	delay func() time.Duration
}

type simNode struct {
	d       *detector
	boot    bootID
	dead    bool
	stalled time.Time // until when it does not run
	failed  map[string]time.Time
	history []string
	sent    int
	// conceded: when disputes ended in memberlist's favour, first
	conceded map[string]time.Time
}

type packet struct {
	at       time.Time
	from, to string
	boot     bootID
	kind     actionKind
	subjects []subject
}

func newSim(n int, seed uint64) *sim {
	s := &sim{
		now: time.Unix(1000, 0), start: time.Unix(1000, 0), rng: rand.New(rand.NewPCG(seed, 1)), nodes: map[string]*simNode{},
		lost: func(string, string) bool { return false },
	}
	s.delay = func() time.Duration { return time.Duration(200+s.rng.IntN(800)) * time.Microsecond }
	var all []subject
	for i := range n {
		name := fmt.Sprintf("n%02d", i+1)
		s.names = append(s.names, name)
		s.nodes[name] = &simNode{d: newDetector(name, simInterval, simMisses), boot: bootID{byte(i + 1)}, failed: map[string]time.Time{}, conceded: map[string]time.Time{}}
		all = append(all, subject{name, s.nodes[name].boot})
	}
	for _, name := range s.names {
		x := s.nodes[name]
		others := slices.DeleteFunc(slices.Clone(all), func(o subject) bool { return o.name == name })
		x.d.members(others, s.now.Add(-forgetLateness)) // nobody has just started
		x.d.nextBeat = s.now.Add(time.Duration(s.rng.Int64N(int64(simInterval))))
	}
	return s
}

// run advances time in steps of a quarter millisecond.
func (s *sim) run(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(250 * time.Microsecond) {
		s.deliver()
		for _, name := range s.names {
			x := s.nodes[name]
			if !x.dead && !s.now.Before(x.stalled) && !s.now.Before(x.d.due) {
				s.act(name, x.d.tick(s.now))
			}
		}
	}
}

func (s *sim) deliver() {
	var later, due []packet
	for _, p := range s.wire {
		if x := s.nodes[p.to]; x.dead {
			continue
		} else if p.at.After(s.now) || s.now.Before(x.stalled) {
			later = append(later, p)
			continue
		}
		due = append(due, p)
	}
	s.wire = later
	for _, p := range due {
		x := s.nodes[p.to]
		s.act(p.to, x.d.received(subject{p.from, p.boot}, p.kind, s.now))
		if p.kind == sendAccuse {
			s.act(p.to, x.d.accusation(p.from, p.subjects, x.boot, s.now))
		}
		s.act(p.to, x.d.tick(s.now))
	}
}

func (s *sim) act(name string, actions []action) {
	x := s.nodes[name]
	for _, a := range actions {
		switch a.kind {
		case sendBeat, sendPing, sendPong, sendAccuse:
			for _, to := range a.to {
				x.sent++
				if !s.lost(name, to) {
					s.wire = append(s.wire, packet{s.now.Add(s.delay()), name, to, x.boot, a.kind, a.subjects})
				}
			}
		case fail:
			for _, v := range a.subjects {
				x.failed[v.name] = s.now
				x.history = append(x.history, v.name)
			}
		case concede:
			for _, v := range a.subjects {
				if _, ok := x.conceded[v.name]; !ok {
					x.conceded[v.name] = s.now
				}
			}
		case acquit, overrule:
			for _, v := range a.subjects {
				delete(x.failed, v.name)
			}
		}
	}
}

func (s *sim) kill(names ...string) time.Time {
	for _, n := range names {
		s.nodes[n].dead = true
	}
	return s.now
}

// checkFailed says that the living see exactly these failed, each within limit of since.
func (s *sim) checkFailed(t *testing.T, since time.Time, limit time.Duration, viewers, failed []string) {
	t.Helper()
	for _, v := range viewers {
		x := s.nodes[v]
		for _, f := range failed {
			if at, ok := x.failed[f]; f != v && (!ok || at.Sub(since) > limit) {
				t.Errorf("%s: verdict on %s after %v (found %v), want within %v", v, f, at.Sub(since), ok, limit)
			}
		}
		for f := range x.failed {
			if !slices.Contains(failed, f) {
				t.Errorf("%s holds %s to be dead", v, f)
			}
		}
	}
}

func (s *sim) without(names ...string) []string {
	return slices.DeleteFunc(slices.Clone(s.names), func(n string) bool { return slices.Contains(names, n) })
}

func TestDeadMembersAreFound(t *testing.T) {
	for _, tc := range []struct {
		name  string
		n     int
		dead  []string
		limit time.Duration
	}{
		{"one of two", 2, []string{"n02"}, 168 * time.Millisecond},
		{"one of three", 3, []string{"n02"}, 118 * time.Millisecond},
		{"one of five", 5, []string{"n02"}, 118 * time.Millisecond},
		{"one of twenty", 20, []string{"n07"}, 118 * time.Millisecond},
		{"one of a hundred", 100, []string{"n50"}, 118 * time.Millisecond},
		{"two neighbours of nine", 9, []string{"n02", "n03"}, 118 * time.Millisecond},
		{"with all but one watcher", 9, []string{"n02", "n03", "n04"}, 200 * time.Millisecond},
		{"with all watchers", 9, []string{"n02", "n03", "n04", "n05"}, 250 * time.Millisecond},
		{"all but two", 5, []string{"n02", "n03", "n04"}, 200 * time.Millisecond},
		{"all but one", 5, []string{"n02", "n03", "n04", "n05"}, 118 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := range uint64(max(2, 100/tc.n)) {
				s := newSim(tc.n, seed)
				s.run(500*time.Millisecond + time.Duration(seed)*7*time.Millisecond)
				at := s.kill(tc.dead...)
				s.run(tc.limit + 5*time.Millisecond)
				s.checkFailed(t, at, tc.limit, s.without(tc.dead...), tc.dead)
			}
		})
	}
}

func TestPartitionIsSeenFromBothSides(t *testing.T) {
	for n := 3; n <= 12; n++ {
		for seed := range uint64(10) {
			s := newSim(n, seed)
			s.run(500 * time.Millisecond)
			shuffled := slices.Clone(s.names)
			s.rng.Shuffle(n, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			k := 1 + s.rng.IntN(n/2)
			left, right := shuffled[:k], shuffled[k:]
			s.lost = func(a, b string) bool { return slices.Contains(left, a) != slices.Contains(left, b) }
			at := s.now
			s.run(300 * time.Millisecond)
			s.checkFailed(t, at, 275*time.Millisecond, left, right)
			s.checkFailed(t, at, 275*time.Millisecond, right, left)
			s.lost = func(string, string) bool { return false }
			s.run(1500 * time.Millisecond)
			s.checkFailed(t, s.now, 0, s.names, nil)
			if t.Failed() {
				t.Fatalf("%d nodes, seed %d: %v against %v", n, seed, left, right)
			}
		}
	}
}

func TestIsolatedNodeLosesAllAtOnce(t *testing.T) {
	for _, n := range []int{2, 3, 5, 9, 30, 100} {
		s := newSim(n, 3)
		s.run(500 * time.Millisecond)
		s.lost = func(a, b string) bool { return a == "n01" || b == "n01" }
		at := s.now
		s.run(170 * time.Millisecond)
		s.checkFailed(t, at, 165*time.Millisecond, []string{"n01"}, s.without("n01"))
		s.checkFailed(t, at, 165*time.Millisecond, s.without("n01"), []string{"n01"})
	}
}

func TestNobodyIsFailedWrongly(t *testing.T) {
	for _, tc := range []struct {
		name string
		set  func(s *sim)
	}{
		{"quiet network", func(*sim) {}},
		{"every tenth datagram lost", func(s *sim) { s.lost = func(string, string) bool { return s.rng.IntN(10) == 0 } }},
		{"every twentieth datagram lost", func(s *sim) { s.lost = func(string, string) bool { return s.rng.IntN(20) == 0 } }},
		{"delays of up to 60 ms", func(s *sim) {
			s.delay = func() time.Duration { return time.Duration(s.rng.IntN(60)) * time.Millisecond }
		}},
		{"one path cut both ways", func(s *sim) {
			s.lost = func(a, b string) bool { return a == "n02" && b == "n03" || a == "n03" && b == "n02" }
		}},
		{"one node sends to nobody but two", func(s *sim) {
			s.lost = func(a, b string) bool { return a == "n02" && b == "n05" }
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := range uint64(5) {
				s := newSim(9, seed)
				s.run(500 * time.Millisecond)
				tc.set(s)
				s.run(10 * time.Second)
				for _, n := range s.names {
					if h := s.nodes[n].history; len(h) > 0 {
						t.Errorf("seed %d: %s pronounced verdicts on %v", seed, n, h)
					}
				}
			}
		})
	}
}

func TestDeafNodeConvincesNobody(t *testing.T) {
	s := newSim(9, 1)
	s.run(500 * time.Millisecond)
	s.lost = func(_, to string) bool { return to == "n04" }
	at := s.now
	s.run(5 * time.Second)
	s.checkFailed(t, at, 165*time.Millisecond, []string{"n04"}, s.without("n04"))
	for _, n := range s.without("n04") {
		if h := s.nodes[n].history; len(h) > 0 {
			t.Errorf("%s believed the deaf node: %v", n, h)
		}
	}
}

func TestStalledNodeAccusesNobody(t *testing.T) {
	for seed := range uint64(20) {
		s := newSim(5, seed)
		s.run(500 * time.Millisecond)
		x := s.nodes["n03"]
		x.stalled = s.now.Add(400 * time.Millisecond)
		s.run(2 * time.Second)
		if len(x.history) > 0 {
			t.Errorf("seed %d: after its own stall n03 pronounced verdicts on %v", seed, x.history)
		}
		if x.d.stalls == 0 {
			t.Errorf("seed %d: the stall went unnoticed", seed)
		}
		s.checkFailed(t, s.now, 0, s.names, nil)
	}
}

func TestMemberNeverHeardIsLeftToMemberlist(t *testing.T) {
	s := newSim(5, 1)
	s.lost = func(a, b string) bool { return a == "n02" || b == "n02" }
	s.run(5 * time.Second)
	for _, n := range s.names {
		if h := s.nodes[n].history; len(h) > 0 {
			t.Errorf("%s: verdicts on %v without ever having heard them", n, h)
		}
	}
}

func TestProbesOverruleHeartbeats(t *testing.T) {
	s := newSim(3, 1)
	s.run(500 * time.Millisecond)
	s.lost = func(a, b string) bool { return a == "n02" }
	s.run(time.Second)
	x := s.nodes["n01"]
	if _, ok := x.failed["n02"]; !ok {
		t.Fatal("n02 is not seen to fail")
	}
	s.act("n01", x.d.probeAnswered("n02"))
	if _, ok := x.failed["n02"]; !ok {
		t.Error("one answer overruled the verdict")
	}
	s.act("n01", x.d.probeAnswered("n02"))
	s.run(3 * time.Second)
	if at, ok := x.failed["n02"]; ok {
		t.Errorf("n02 failed again at %v although its heartbeats are known to be lost", at.Sub(s.start))
	}
}

func TestRestartedMemberIsJudgedAnew(t *testing.T) {
	d := newDetector("a", simInterval, simMisses)
	now := time.Unix(1000, 0)
	old, young := subject{"b", bootID{1}}, subject{"b", bootID{2}}
	d.members([]subject{old}, now)
	d.received(old, sendBeat, now)
	d.members([]subject{young}, now)
	d.tick(now)
	if out := d.received(old, sendPing, now); out != nil {
		t.Errorf("a datagram of the former life was answered: %v", out)
	}
	for range 40 {
		now = now.Add(10 * time.Millisecond)
		for _, a := range d.tick(now) {
			if a.kind == fail || a.kind == sendAccuse {
				t.Fatalf("accused before it was ever heard: %+v", a)
			}
		}
	}
}

func TestTrafficDoesNotGrowWithTheGroup(t *testing.T) {
	rate := func(n int) float64 {
		s := newSim(n, 1)
		s.run(2 * time.Second)
		s.nodes["n01"].sent = 0
		s.run(2 * time.Second)
		return float64(s.nodes["n01"].sent) / 2
	}
	small, large := rate(5), rate(100)
	if large > small*1.1 || large > 66 {
		t.Errorf("datagrams per second: %.1f among 5, %.1f among 100; want about 60", small, large)
	}
}

// TestNewcomerCondemnsNobodyAlone: a node that has heard of one member so far, and of the other nothing yet, does not take
// the silence of the one for its own isolation.
func TestNewcomerCondemnsNobodyAlone(t *testing.T) {
	for seed := range uint64(20) {
		s := newSim(3, seed)
		x := s.nodes["n03"]
		s.lost = func(a, b string) bool { return a == "n02" && b == "n03" }
		x.d.members(nil, s.now)
		x.d.members([]subject{{"n01", s.nodes["n01"].boot}, {"n02", s.nodes["n02"].boot}}, s.now)
		s.run(200 * time.Millisecond)
		s.nodes["n01"].stalled = s.now.Add(300 * time.Millisecond)
		s.run(time.Second)
		if len(x.history) > 0 {
			t.Errorf("seed %d: n03 pronounced verdicts on %v", seed, x.history)
		}
	}
}

// TestNewMembersAreGivenTime: a member that has just started is given more time, and less again as it gets older.
func TestNewMembersAreGivenTime(t *testing.T) {
	start := time.Unix(1000, 0)
	d := newDetector("a", simInterval, simMisses)
	d.members([]subject{{"b", bootID{1}}}, start)
	const usual = simMisses*simInterval + simInterval/4
	for after, want := range map[time.Duration]time.Duration{
		0: usual + simInterval, forgetLateness / 2: usual + simInterval/2, forgetLateness: usual,
	} {
		if got := d.silence(d.peers["b"], start.Add(after)); got != want {
			t.Errorf("%s after it was met, silence %s, want %s", after, got, want)
		}
	}
	d.members(nil, start)
	d.members([]subject{{"b", bootID{1}}}, start)
	if got := d.silence(d.peers["b"], start); got != usual {
		t.Errorf("back from an absence, silence %s, want %s", got, usual)
	}
}

// TestLateQuestionIsNoVerdict: a node that was itself too late to ask waits for the answer.
func TestLateQuestionIsNoVerdict(t *testing.T) {
	d, now := newDetector("a", simInterval, simMisses), time.Unix(1000, 0)
	b := subject{name: "b", boot: bootID{1}}
	d.members([]subject{b}, now.Add(-forgetLateness))
	d.received(b, sendBeat, now)
	for d.tick(now); d.next(now).Before(time.Unix(1000, 0).Add(simInterval)); now = d.next(now) {
		d.tick(now)
	}
	now = now.Add(simInterval * 2) // later than it should be
	d.due = now                    // not so late that it excuses
	if out := d.tick(now); !slices.ContainsFunc(out, func(a action) bool { return a.kind == sendPing }) ||
		slices.ContainsFunc(out, func(a action) bool { return a.kind == sendAccuse || a.kind == fail }) {
		t.Fatalf("silent for %s, and never asked: %+v", d.peers["b"].silentFor(now), out)
	}
	for now = now.Add(d.leastAnswerTime()); now.Before(time.Unix(1000, 0).Add(d.certainty(d.peers["b"], now))); now = d.next(now) {
		if out := d.tick(now); slices.ContainsFunc(out, func(a action) bool { return a.kind == fail }) {
			t.Fatalf("a verdict after %s, without a second opinion", d.peers["b"].silentFor(now))
		}
	}
	out := d.tick(now)
	i := slices.IndexFunc(out, func(a action) bool { return a.kind == fail })
	if i < 0 {
		t.Fatalf("asked, and no answer: %+v", out)
	}
	if got, want := out[i].silences, []time.Duration{d.peers["b"].silentFor(now)}; !slices.Equal(got, want) {
		t.Errorf("silent for %v, want %v", got, want)
	}
}

// TestLateHeartbeatsMakeForPatience: a member whose heartbeats come late is given as much more time, and less again when
// they are punctual; one that was away is not taken for late.
func TestLateHeartbeatsMakeForPatience(t *testing.T) {
	start := time.Unix(0, 0)
	const interval = 50 * time.Millisecond
	const enough = 2*interval + interval/4
	for _, test := range []struct {
		name string
		gap  time.Duration // before the last heartbeat
		wait time.Duration // after it
		want time.Duration
	}{
		{"punctual", interval, 0, enough},
		{"late by 90 ms", interval + 90*time.Millisecond, 0, enough + 90*time.Millisecond},
		{"half forgotten", interval + 90*time.Millisecond, forgetLateness / 2, enough + 45*time.Millisecond},
		{"forgotten", interval + 90*time.Millisecond, forgetLateness, enough},
		{"away", (mostLateness + 2) * interval, 0, enough},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDetector("a", interval, 2)
			b := subject{name: "b", boot: bootID{1}}
			d.members([]subject{b}, start.Add(-forgetLateness))
			d.received(b, sendBeat, start)
			last := start.Add(test.gap)
			d.received(b, sendBeat, last)
			if got := d.silence(d.peers["b"], last.Add(test.wait)); got != test.want {
				t.Errorf("silence %s, want %s", got, test.want)
			}
		})
	}
}
