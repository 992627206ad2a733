// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"slices"
	"time"
)

// detector decides from heartbeats who is unreachable. It is a pure state machine: it is told what happened and when,
// and returns what to do; it has no clock, socket or lock.
//
// Every member sends heartbeats to its successors in the ring, its watchers. A watcher that misses them pings, and
// after the full silence accuses the member before everyone. Two witnesses make a verdict. A witness decides alone
// only when nobody answers who could give a second opinion. Whoever hears the accused contradicts by staying silent
// about it and by answering the accuser; the accused refutes by being heard.
type detector struct {
	self     string
	interval time.Duration
	misses   int

	ring       ring
	peers      map[string]*peer
	lives      map[string]bootID // the last of each member ever met
	successors []string
	nextBeat   time.Time
	refuteAt   time.Time // not before
	due        time.Time // when tick was meant to be called
	stalls     uint64
}

// subject is one life of a member.
type subject struct {
	name string
	boot bootID
}

// peer is what the detector knows of one member.
type peer struct {
	subject
	watched   bool // this node is one of its watchers
	neighbour bool // this node may ask it
	beating   bool // a heartbeat came since it is watched
	// met is when memberlist first named it.
	met time.Time
	// heard is the last time of any datagram from it, zero for never: then heartbeats prove nothing about it.
	heard time.Time
	// late is how late a heartbeat was, and lateAt when; see lateness.
	late   time.Duration
	lateAt time.Time
	// asked is when it was first pinged since it was heard, zero for not; nextPing is when to ask again.
	asked, nextPing time.Time
	pause           time.Duration
	// witnesses accused it, and when; this node may be among them.
	witnesses map[string]time.Time
	accusedAt time.Time // by this node; zero for not
	accuseAt  time.Time // when to repeat
	accused   int       // how often
	suspect   bool
	failed    bool
	probeAt   time.Time // when to have memberlist probe it, once failed
	probed    int       // answers to such probes
	// disputed is since when memberlist holds it to be dead; zero for not.
	disputed time.Time
}

type actionKind uint8

const (
	sendBeat actionKind = iota + 1
	sendPing
	sendPong
	sendAccuse
	probe   // ask memberlist for a direct probe
	suspect // silent, without a verdict yet
	fail    // verdict
	acquit  // no longer suspect or failed
	overrule
	concede // memberlist is right that it is dead
)

// action is something the caller must do. to is empty for verdicts; subjects are the accused, or whom a verdict is on.
type action struct {
	kind     actionKind
	to       []string
	subjects []subject
	// silences are for how long nothing was heard of each subject that failed; 0 for never.
	silences []time.Duration
}

func newDetector(self string, interval time.Duration, misses int) *detector {
	return &detector{self: self, interval: interval, misses: misses, ring: ring{self}, peers: map[string]*peer{}, lives: map[string]bootID{}}
}

// silence is how long nothing must have been heard of a member for an accusation: the time of so many heartbeats and a
// quarter, and as much more as its heartbeats have been late of late. On machines that keep up with their work that is
// next to nothing; where heartbeats wait for a processor, patience keeps the living from being accused. doubt is when to
// ask, well before: a member is accused that has also left questions unanswered.
func (d *detector) silence(p *peer, now time.Time) time.Duration {
	return time.Duration(d.misses)*d.interval + d.interval/4 + p.lateness(now)
}

func (d *detector) doubt(p *peer, now time.Time) time.Duration {
	return d.silence(p, now) - d.interval*3/4
}

const (
	// forgetLateness is how long the lateness of a heartbeat is remembered, less and less.
	forgetLateness = 30 * time.Second
	// mostLateness, in intervals, bounds it: what is later than that was away, and not late.
	mostLateness = 10
)

// lateness returns how late the member's heartbeats have been, the recent ones counting most.
func (p *peer) lateness(now time.Time) time.Duration {
	left := forgetLateness - now.Sub(p.lateAt)
	if p.late == 0 || left <= 0 {
		return 0
	}
	return time.Duration(float64(p.late) * float64(left) / float64(forgetLateness))
}

// punctual takes note of how late a heartbeat is.
func (d *detector) punctual(p *peer, now time.Time) {
	late := now.Sub(p.heard) - d.interval
	if p.heard.IsZero() || late > mostLateness*d.interval || late <= p.lateness(now) {
		return
	}
	p.late, p.lateAt = late, now
}

// leastAnswerTime is how long a watched member must have left the first of several pings unanswered to be accused. It
// matters to a node that has asked late, for its own reasons.
func (d *detector) leastAnswerTime() time.Duration { return d.interval / 2 }

// answerTime is how long an answer to the first of several pings may take where no heartbeats are expected.
func (d *detector) answerTime() time.Duration { return d.interval * 3 / 2 }

// longestPingPause bounds the pause between pings to a member that never answered.
const longestPingPause = 10 * time.Second

// members sets the members other than this node, as memberlist lists them.
func (d *detector) members(list []subject, now time.Time) {
	names := []string{d.self}
	for _, s := range list {
		names = append(names, s.name)
		if p := d.peers[s.name]; p == nil || p.boot != s.boot {
			d.peers[s.name] = d.stranger(s, now)
		}
	}
	d.ring = newRing(names)
	d.successors = d.ring.watchers(d.self)
	watched, neighbours := d.ring.watched(d.self), d.ring.neighbours(d.self)
	for name, p := range d.peers {
		if _, ok := slices.BinarySearch(d.ring, name); !ok {
			delete(d.peers, name)
			continue
		}
		was := p.watched
		p.watched, p.neighbour = slices.Contains(watched, name), slices.Contains(neighbours, name)
		if p.watched && !was {
			// It may not know yet that this node watches it: ask until the first heartbeat.
			p.beating, p.asked, p.nextPing, p.pause = false, time.Time{}, now, d.interval
			if !p.heard.IsZero() && !p.failed {
				p.heard = now
			}
		}
	}
	if d.nextBeat.IsZero() {
		d.nextBeat = now
	}
}

// stranger returns a member of which nothing is known yet. One that has just started is taken to be late, for starting keeps
// a machine busy; one that only comes back is not.
func (d *detector) stranger(s subject, now time.Time) *peer {
	p := &peer{subject: s, witnesses: map[string]time.Time{}, met: now, nextPing: now, pause: d.interval}
	if d.lives[s.name] != s.boot {
		d.lives[s.name] = s.boot
		p.late, p.lateAt = d.interval, now
	}
	return p
}

// received takes note of an authentic datagram from a member.
func (d *detector) received(from subject, kind actionKind, now time.Time) []action {
	p := d.peers[from.name]
	if p == nil || p.boot != from.boot {
		return nil
	}
	if p.watched && p.beating {
		d.punctual(p, now)
	}
	p.heard, p.asked, p.pause = now, time.Time{}, d.interval
	p.beating = p.beating || kind == sendBeat
	p.acquit()
	var out []action
	if p.failed || p.suspect {
		p.failed, p.suspect = false, false
		out = append(out, action{kind: acquit, subjects: []subject{p.subject}})
	}
	if kind == sendPing {
		out = append(out, action{kind: sendPong, to: []string{p.name}})
	}
	return out
}

func (p *peer) acquit() {
	clear(p.witnesses)
	p.accusedAt, p.accuseAt, p.accused = time.Time{}, time.Time{}, 0
}

// accusation takes note of what a member says about others. The datagram was given to received before.
func (d *detector) accusation(from string, subjects []subject, selfBoot bootID, now time.Time) []action {
	var out []action
	answer := false
	for _, s := range subjects {
		if s.name == d.self {
			if s.boot == selfBoot && !now.Before(d.refuteAt) {
				d.refuteAt = now.Add(d.interval / 2)
				out = append(out, action{kind: sendPong, to: d.everyone("")})
			}
			continue
		}
		p := d.peers[s.name]
		if p == nil || p.boot != s.boot || p.failed {
			continue
		}
		// Only who knows the accused has an opinion; being heard is how it is given.
		answer = answer || !p.heard.IsZero()
		if !p.heard.IsZero() && now.Sub(p.heard) < d.doubt(p, now) {
			continue // this node hears it
		}
		p.witnesses[from] = now
		if p.neighbour && p.asked.IsZero() && !p.watched {
			p.nextPing = now
		}
	}
	if answer {
		out = append(out, action{kind: sendPong, to: []string{from}})
	}
	return append(out, d.judge(now)...)
}

// probeAnswered takes note that memberlist reached a failed member directly. Twice, and the verdict is taken back:
// heartbeats are then lost on the way, and prove nothing until one comes again.
func (d *detector) probeAnswered(name string) []action {
	p := d.peers[name]
	if p == nil || !p.failed {
		return nil
	}
	if p.probed++; p.probed < 2 {
		return nil
	}
	fresh := &peer{
		subject: p.subject, witnesses: map[string]time.Time{}, watched: p.watched, neighbour: p.neighbour, met: p.met,
		pause: time.Second, nextPing: p.nextPing,
	}
	d.peers[name] = fresh
	return []action{{kind: overrule, subjects: []subject{p.subject}}}
}

// tick does what is due. It must be called at next(), at the latest; a late call is taken as this node's own stall, for
// which nobody else is blamed.
func (d *detector) tick(now time.Time) []action {
	if late := now.Sub(d.due); !d.due.IsZero() && late > d.interval {
		d.excuse(late, now)
	}
	var out []action
	if !now.Before(d.nextBeat) && len(d.successors) > 0 {
		out = append(out, action{kind: sendBeat, to: d.successors})
		if d.nextBeat = d.nextBeat.Add(d.interval); d.nextBeat.Before(now) {
			d.nextBeat = now.Add(d.interval)
		}
	}
	out = append(out, d.ask(now)...)
	out = append(out, d.judge(now)...)
	out = append(out, d.recheck(now)...)
	out = append(out, d.settle(now)...)
	d.due = d.next(now)
	return out
}

// excuse extends every period that ran while this node itself did not.
func (d *detector) excuse(late time.Duration, now time.Time) {
	d.stalls++
	for _, p := range d.peers {
		if !p.disputed.IsZero() {
			p.disputed = earlier(p.disputed.Add(late), now)
		}
		if p.failed || p.heard.IsZero() {
			continue
		}
		p.heard = earlier(p.heard.Add(late), now)
		delete(p.witnesses, d.self)
		p.accusedAt, p.accuseAt = time.Time{}, time.Time{}
		if !p.asked.IsZero() {
			p.asked, p.nextPing = now, now
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// everyone returns all members but one.
func (d *detector) everyone(but string) []string {
	out := make([]string, 0, len(d.ring))
	for _, n := range d.ring {
		if n != d.self && n != but {
			out = append(out, n)
		}
	}
	return out
}

// sorted returns the peers in a fixed order, so that equal histories give equal actions.
func (d *detector) sorted() []*peer {
	out := make([]*peer, 0, len(d.peers))
	for _, n := range d.ring {
		if p := d.peers[n]; p != nil {
			out = append(out, p)
		}
	}
	return out
}

// acquainted returns how many members' heartbeats are known to come through.
func (d *detector) acquainted() (n int) {
	for _, p := range d.peers {
		if !p.heard.IsZero() {
			n++
		}
	}
	return n
}

// next returns when tick must be called again.
func (d *detector) next(now time.Time) time.Time {
	first := now.Add(time.Second)
	consider := func(from time.Time, after time.Duration) {
		if t := from.Add(after); !from.IsZero() && t.After(now) && t.Before(first) {
			first = t
		}
	}
	if len(d.successors) > 0 {
		consider(d.nextBeat, 0)
	}
	for _, p := range d.peers {
		consider(p.nextPing, 0)
		consider(p.accuseAt, 0)
		if p.failed {
			consider(p.probeAt, 0)
			continue
		}
		if p.watched {
			consider(p.heard, d.doubt(p, now))
			consider(p.heard, d.silence(p, now))
			consider(p.heard, d.certainty(p, now))
		}
		consider(p.asked, d.leastAnswerTime())
		consider(p.asked, d.answerTime())
		if !p.disputed.IsZero() {
			consider(p.asked, d.silence(p, now))
			consider(p.disputed, d.refutation())
			consider(p.disputed, longestDispute)
		}
	}
	return first
}
