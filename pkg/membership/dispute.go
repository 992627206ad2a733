// SPDX-License-Identifier: Apache-2.0

package membership

import "time"

// A dispute is about a member that memberlist holds to be dead and the heartbeats do not. memberlist believes at once
// whoever calls a third member dead, and the accused refutes a round of gossip later: a node that was cut off comes back
// with such news of all others. So the member is asked, and the verdict stands where it does not answer.

// longestDispute is how long heartbeats may contradict memberlist: enough to join each other anew. Where gossip does not
// reach a member for longer, it is of no use to the group, though it lives.
const longestDispute = 5 * time.Second

// refutation is how long gossip may take to bring an accusation to a member and its answer back, where heartbeats tell
// nothing about it.
func (d *detector) refutation() time.Duration { return 5 * d.interval }

// dispute sets the members that are in dispute.
func (d *detector) dispute(list []subject, now time.Time) {
	disputed := map[subject]bool{}
	for _, s := range list {
		disputed[s] = true
	}
	for _, p := range d.peers {
		switch {
		case !disputed[p.subject]:
			p.disputed = time.Time{}
		case p.disputed.IsZero():
			p.disputed = now
			if p.heard.IsZero() {
				p.nextPing, p.pause = now, d.interval
			}
		}
	}
}

// settle ends disputes in which memberlist is right.
func (d *detector) settle(now time.Time) []action {
	var lost []subject
	for _, p := range d.sorted() {
		if !p.disputed.IsZero() && !p.failed && d.gossipIsRight(p, now) {
			lost = append(lost, p.subject)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	return []action{{kind: concede, subjects: lost}}
}

// gossipIsRight reports whether nothing speaks for a disputed member any more.
func (d *detector) gossipIsRight(p *peer, now time.Time) bool {
	switch {
	case now.Sub(p.disputed) >= longestDispute:
		return true
	case p.heard.IsZero():
		return now.Sub(p.disputed) >= d.refutation()
	case p.watched:
		return d.silent(p, now)
	}
	return !p.asked.IsZero() && now.Sub(p.asked) >= d.silence(p, now)
}

// disputed returns the members that memberlist holds to be dead and this node's heartbeats do not.
func (m *Membership) disputed() (out []subject) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for name, e := range m.view.members {
		if e.disputed {
			out = append(out, subject{name, e.meta.boot})
		}
	}
	return out
}
