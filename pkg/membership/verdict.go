// SPDX-License-Identifier: Apache-2.0

package membership

import "time"

// ask pings whom this node has doubts about, whom it does not know yet, and, when so many are silent at once that the
// network may have parted, everyone within reach.
func (d *detector) ask(now time.Time) []action {
	parted := d.manySilent(now)
	var to []string
	for _, p := range d.sorted() {
		if !p.neighbour && !p.watched && !p.failed && p.disputed.IsZero() {
			continue
		}
		doubtful := p.watched && !p.heard.IsZero() && now.Sub(p.heard) >= d.doubt(p, now)
		switch {
		case p.failed, p.heard.IsZero(), p.watched && !p.beating, !p.asked.IsZero(): // by their own schedule
		case doubtful, (parted || !p.disputed.IsZero()) && now.Sub(p.heard) >= d.interval/2, len(p.witnesses) > 0:
			p.asked, p.nextPing, p.pause = now, now, d.interval
		default:
			p.nextPing = time.Time{}
		}
		if p.nextPing.IsZero() || now.Before(p.nextPing) {
			continue
		}
		to = append(to, p.name)
		d.scheduleNextPing(p, now)
	}
	if len(to) == 0 {
		return nil
	}
	return []action{{kind: sendPing, to: to}}
}

// scheduleNextPing keeps asking: often while a verdict depends on it, ever less often otherwise.
func (d *detector) scheduleNextPing(p *peer, now time.Time) {
	switch {
	case p.heard.IsZero():
		p.nextPing = now.Add(p.pause)
		p.pause = min(2*p.pause, longestPingPause)
	case p.failed:
		p.nextPing = now.Add(p.pause)
		p.pause = min(2*p.pause, time.Second)
	case p.watched && !p.beating:
		if p.asked.IsZero() {
			p.asked = now
		}
		p.nextPing = now.Add(d.interval)
	default:
		p.nextPing = now.Add(d.interval / 4)
	}
}

// manySilent reports whether at least two of the watched, or all of them, are in doubt.
func (d *detector) manySilent(now time.Time) bool {
	known, quiet := 0, 0
	for _, p := range d.peers {
		if p.watched && !p.heard.IsZero() {
			known++
			if p.failed || now.Sub(p.heard) >= d.doubt(p, now) {
				quiet++
			}
		}
	}
	return quiet >= 2 || quiet > 0 && quiet == known
}

// silentFor returns how long nothing has been heard of p; 0 for ever.
func (p *peer) silentFor(now time.Time) time.Duration {
	if p.heard.IsZero() {
		return 0
	}
	return now.Sub(p.heard)
}

// silent reports whether this node itself has grounds to accuse p.
func (d *detector) silent(p *peer, now time.Time) bool {
	if p.heard.IsZero() || p.failed {
		return false
	}
	if p.watched && now.Sub(p.heard) >= d.silence(p, now) && !p.asked.IsZero() && now.Sub(p.asked) >= d.leastAnswerTime() {
		return true
	}
	return !p.watched && !p.asked.IsZero() && now.Sub(p.asked) >= d.answerTime()
}

// judge accuses and pronounces verdicts.
func (d *detector) judge(now time.Time) []action {
	var out []action
	isolated := d.isolated(now)
	var accused, condemned []subject
	var silences []time.Duration
	for _, p := range d.sorted() {
		if d.silent(p, now) {
			if p.accusedAt.IsZero() {
				p.accusedAt, p.accuseAt, p.suspect = now, now, true
				out = append(out, action{kind: suspect, subjects: []subject{p.subject}})
			}
			p.witnesses[d.self] = now
		}
		if !p.accuseAt.IsZero() && !now.Before(p.accuseAt) {
			accused = append(accused, p.subject)
			d.scheduleNextAccusation(p, now)
		}
		if !p.failed && (isolated && (!p.heard.IsZero() || !p.neighbour) || d.guilty(p, now)) {
			condemned, silences = append(condemned, p.subject), append(silences, p.silentFor(now))
			p.failed, p.suspect, p.probed = true, false, 0
			p.nextPing, p.pause, p.probeAt = now.Add(1), d.interval, now.Add(d.silence(p, now))
		}
	}
	if len(accused) > 0 {
		out = append(out, action{kind: sendAccuse, to: d.everyone(""), subjects: accused})
	}
	if len(condemned) > 0 {
		out = append(out, action{kind: fail, subjects: condemned, silences: silences})
	}
	return out
}

// scheduleNextAccusation repeats an accusation against lost datagrams: soon at first, ever more rarely while others
// contradict, not more than thrice after the verdict.
func (d *detector) scheduleNextAccusation(p *peer, now time.Time) {
	p.accused++
	if p.failed && p.accused >= 3 {
		p.accuseAt = time.Time{}
		return
	}
	p.accuseAt = now.Add(d.interval << min(p.accused-1, 5))
}

// guilty reports whether there is a verdict on p: two witnesses, or this node alone where no other can be asked.
func (d *detector) guilty(p *peer, now time.Time) bool {
	recent := 0
	for w, at := range p.witnesses {
		if now.Sub(at) > 2*d.silence(p, now) {
			delete(p.witnesses, w)
			continue
		}
		recent++
	}
	if recent >= 2 {
		return p.heard.IsZero() || now.Sub(p.heard) >= d.doubt(p, now)
	}
	if p.accusedAt.IsZero() || !d.silent(p, now) {
		return false
	}
	// With one other member only there is nobody to ask. Where others are silent too, isolated decides; where others
	// are heard, one of them becomes the second witness or contradicts.
	return len(d.peers) == 1 && now.Sub(p.heard) >= d.certainty(p, now)
}

// certainty is how long nothing must have been heard of a member for a verdict that rests on its silence alone, without a
// second opinion and without others being silent too: it may be just its machine that is busy.
func (d *detector) certainty(p *peer, now time.Time) time.Duration {
	return d.silence(p, now) + d.interval
}

// acquaintance is how long a member may take to be heard for the first time: it has to learn of this node first.
const acquaintance = 2 * time.Second

// isolated reports whether this node hears nobody at all although it used to: then no second opinion can come, and all
// are out of its reach. Everyone it could ask was asked when the silence was noticed. A node that is about to meet others
// is not isolated yet.
func (d *detector) isolated(now time.Time) bool {
	silent, certain := 0, false
	for _, p := range d.peers {
		switch {
		case p.heard.IsZero() && p.neighbour && now.Sub(p.met) < acquaintance:
			return false
		case p.heard.IsZero(), p.failed:
		case p.watched && now.Sub(p.heard) >= d.silence(p, now):
			silent++
			certain = certain || now.Sub(p.heard) >= d.certainty(p, now)
		case !p.watched && p.neighbour && !p.asked.IsZero() && now.Sub(p.asked) >= d.interval/2:
			silent++
		case !p.watched && !p.neighbour:
		default:
			return false
		}
	}
	return silent > 1 || certain
}

// recheck asks after the failed, so that a wrong verdict does not last.
func (d *detector) recheck(now time.Time) []action {
	var out []action
	for _, p := range d.sorted() {
		if p.failed && !now.Before(p.probeAt) {
			p.probeAt = now.Add(time.Second)
			out = append(out, action{kind: probe, to: []string{p.name}})
		}
	}
	return out
}
