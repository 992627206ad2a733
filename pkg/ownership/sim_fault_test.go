// SPDX-License-Identifier: Apache-2.0

package ownership

import (
	"time"
)

// fault is something bad or merely unsettling that happens to the world.
type fault struct {
	name   string
	weight int
	do     func(w *world)
}

func faults() []fault {
	return []fault{
		{"crash", 5, func(w *world) { w.crash(w.anyNode()) }},
		{"start", 9, (*world).startOne},
		{"pause", 4, (*world).pauseOne},
		{"resume", 6, (*world).resumeOne},
		{"partition", 4, (*world).partition},
		{"block one way", 3, (*world).blockOneWay},
		{"heal", 6, (*world).heal},
		{"gate", 6, (*world).changeGate},
		{"all unhealthy", 1, (*world).allUnhealthy},
		{"drain", 4, (*world).toggleDrain},
		{"leave", 2, (*world).leave},
		{"api outage", 3, (*world).apiOutage},
		{"api back", 4, (*world).apiBack},
		{"candidates", 6, (*world).changeCandidates},
		{"remove or add", 2, (*world).removeOrAdd},
		{"gateway", 2, (*world).changeGateway},
		{"clock back", 3, (*world).clockBack},
	}
}

// breakSomething lets one random fault happen.
func (w *world) breakSomething(all []fault) {
	total := 0
	for _, f := range all {
		total += f.weight
	}
	pick := w.rng.IntN(total)
	for _, f := range all {
		if pick -= f.weight; pick < 0 {
			w.trace("--- %s", f.name)
			w.quietFault = w.now-w.lastFault > settleBound
			w.lastFault, w.fault = w.now, f.name
			if f.name != "drain" && f.name != "candidates" {
				w.upset = w.now
			}
			f.do(w)
			w.relink()
			return
		}
	}
}

func (w *world) anyNode() *simNode { return w.nodes[w.rng.IntN(len(w.nodes))] }

func (w *world) crash(n *simNode) {
	w.trace("%s crashes", n.name)
	n.running, n.paused = false, false
	for i := range n.announcing {
		n.announcing[i] = -1
	}
}

func (w *world) startOne() {
	for range 5 {
		if n := w.anyNode(); !n.running {
			w.trace("%s starts", n.name)
			w.start(n)
			return
		}
	}
	n := w.anyNode() // so fast that nobody notices by silence
	w.crash(n)
	w.start(n)
}

func (w *world) pauseOne() {
	if n := w.anyNode(); n.awake() {
		w.trace("%s pauses", n.name)
		n.paused = true
	}
}

// resumeOne lets a paused node go on; it may find the messages of meanwhile, and
// learns anew what its shell watches.
func (w *world) resumeOne() {
	for _, n := range w.nodes {
		if !n.paused {
			continue
		}
		w.trace("%s resumes", n.name)
		n.paused, n.resumedAt = false, w.now
		inbox := n.inbox
		n.inbox = nil
		if w.rng.IntN(2) == 0 {
			for _, msg := range inbox {
				n.step(Heard{msg})
			}
		}
		n.step(Gateway{n.gateway})
		n.step(Drain{n.draining})
		for i := range w.addrs {
			n.setGate(i, n.gates[i])
			w.publish(n, i)
		}
		return
	}
}

func (w *world) partition() {
	side := make([]bool, len(w.nodes))
	for i := range side {
		side[i] = w.rng.IntN(2) == 0
	}
	w.trace("sides %v", side)
	for a := range w.nodes {
		for b := range w.nodes {
			w.blocked[a][b] = side[a] != side[b]
		}
	}
}

func (w *world) blockOneWay() {
	a, b := w.anyNode(), w.anyNode()
	w.trace("%s to %s blocked", a.name, b.name)
	w.blocked[a.id][b.id] = true
}

func (w *world) heal() {
	for a := range w.nodes {
		clear(w.blocked[a])
	}
}

func (w *world) changeGate() {
	n, i := w.anyNode(), w.rng.IntN(len(w.addrs))
	g := []Gate{GateOpen, GateOpen, GateUnhealthy, GateUnhealthy, GateClosed}[w.rng.IntN(5)]
	w.trace("%s gate of %s: %d", n.name, w.addrs[i], g)
	n.setGate(i, g)
}

func (w *world) allUnhealthy() {
	for _, n := range w.nodes {
		for i := range w.addrs {
			n.setGate(i, GateUnhealthy)
		}
	}
}

func (w *world) toggleDrain() {
	n := w.anyNode()
	n.draining = !n.draining
	w.trace("%s draining: %v", n.name, n.draining)
	n.step(Drain{n.draining})
}

// leave ends an announcer in good order: it drains, and goes.
func (w *world) leave() {
	n := w.anyNode()
	if !n.awake() {
		return
	}
	w.trace("%s is going to leave", n.name)
	n.draining = true
	n.step(Drain{true})
	run := n.incarnation
	w.after(w.between(0, 3*time.Second), func() {
		if n.incarnation == run && n.awake() {
			w.lastFault, w.upset, w.quietFault = w.now, w.now, false
			n.step(Leave{})
			w.crash(n)
			w.relink()
		}
	})
}

func (w *world) apiOutage() {
	for _, n := range w.nodes {
		if w.rng.IntN(2) == 0 {
			n.apiUp = false
		}
	}
}

func (w *world) apiBack() {
	for _, n := range w.nodes {
		n.apiUp = true
		for i := range w.addrs {
			w.publish(n, i)
		}
	}
}

func (w *world) changeCandidates() {
	i := w.rng.IntN(len(w.addrs))
	w.config[i].candidates = w.randomCandidates()
	w.config[i].epoch++
	w.publishAll(i)
}

func (w *world) removeOrAdd() {
	i := w.rng.IntN(len(w.addrs))
	w.config[i].present = !w.config[i].present
	w.publishAll(i)
}

func (w *world) publishAll(i int) {
	for _, n := range w.nodes {
		w.publish(n, i)
	}
}

func (w *world) changeGateway() {
	n := w.anyNode()
	n.gateway, n.gatewayAt = !n.gateway, w.now
	n.step(Gateway{n.gateway})
}

// clockBack restarts an announcer after the clock of its node was set back: at once, or when something starts it.
func (w *world) clockBack() {
	n := w.anyNode()
	n.setBack += w.between(time.Minute, 24*time.Hour)
	w.crash(n)
	w.relink()
	if w.rng.IntN(2) == 0 {
		w.trace("%s starts", n.name)
		w.start(n)
	}
}

// repair undoes everything but crashes, so that the end of each schedule shows
// whether the machines find together again.
func (w *world) repair() {
	w.trace("--- repair")
	w.lastFault, w.upset, w.fault, w.quietFault = w.now, w.now, "repair", false
	w.heal()
	w.apiBack()
	for _, n := range w.nodes {
		w.resumeOne()
		if !n.running {
			w.start(n)
		}
	}
	w.relink()
}
