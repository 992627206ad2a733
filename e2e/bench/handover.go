// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// handover makes a planned move again and again, and counts the requests over new connections that fail, and which of the
// connections that were held open break.
func handover(m move, p pressure) measure {
	return func(ctx context.Context, e *env) (figure, error) {
		free, err := e.press(p)
		if err != nil {
			return figure{}, err
		}
		defer free()
		var all []moved
		for i := range e.runsOr(10) {
			one, err := e.watchMove(ctx, m)
			if err != nil {
				return figure{}, fmt.Errorf("run %d: %w", i+1, err)
			}
			all = append(all, one)
			e.say("run %d: %d of %d requests failed %q, longest gap %d ms, %d of %d kept connections broken, %d with their pod's node",
				i+1, one.failed, one.asked, one.failures, one.gap.Milliseconds(), one.broken, keptCount, one.brokenThere)
		}
		return summarizeMoves(all).with("nodes", e.nodes).with("loaded", bool(p)), nil
	}
}

// moved is what clients saw of one planned move.
type moved struct {
	crash
	changed             bool // another node announced the address afterwards
	broken, brokenThere int  // kept connections; of these those with a backend on the node that was moved from
}

func summarizeMoves(all []moved) figure {
	var failed, gaps []float64
	asked, changed, broken, there := 0, 0, 0, 0
	for _, one := range all {
		failed, gaps = append(failed, float64(one.failed)), append(gaps, milliseconds(one.gap))
		asked, broken, there = asked+one.asked, broken+one.broken, there+one.brokenThere
		if one.changed {
			changed++
		}
	}
	f := summarize("failed requests", failed, true).with("requests", asked).with("moved", changed)
	return f.with("longest_gap_ms", quantile(gaps, 1)).with("kept", keptCount*len(all)).with("kept_broken", broken).
		with("kept_broken_backend_on_node", there)
}

// watchMove makes the move once, watches the clients, and undoes it.
func (e *env) watchMove(ctx context.Context, m move) (one moved, err error) {
	if err := e.awaitSteady(ctx); err != nil {
		return moved{}, err
	}
	owner, err := e.owner(ctx)
	if err != nil {
		return moved{}, err
	}
	kept, err := e.keepConnections(ctx)
	if err != nil {
		return moved{}, err
	}
	defer kept.stop()
	if one.crash, err = e.watchPatiently(ctx, func() error { return m.make(ctx, e, owner) }); err != nil {
		return moved{}, err
	}
	one.broken, one.brokenThere = kept.stop().broken(owner)
	now, err := e.owner(ctx)
	if err != nil {
		return moved{}, err
	}
	one.changed = now != owner
	return one, m.undo(ctx, e, owner)
}

// defaultWatch is how long falseTakeover watches when nothing else is asked for.
const defaultWatch = 10 * time.Minute

// falseTakeover watches a cluster in which nothing fails while every core is loaded: each change of the owner is one too
// many. The longest time without an answer is reported too.
func falseTakeover(ctx context.Context, e *env) (figure, error) {
	if err := e.awaitSteady(ctx); err != nil {
		return figure{}, err
	}
	free, err := e.press(loaded)
	if err != nil {
		return figure{}, err
	}
	defer free()
	vips := e.fairlead.FairleadV1alpha1().VirtualIPs()
	first, err := vips.Get(ctx, e.service.vip, metav1.GetOptions{})
	if err != nil {
		return figure{}, err
	}
	e.say("watching %s for %s", e.service.address, e.watch)
	probe, err := e.lab.ProbeHTTP(ctx, lab.Client, e.service.url(), lab.ProbeOptions{Interval: 50 * time.Millisecond, Timeout: 2 * time.Second})
	if err != nil {
		return figure{}, err
	}
	defer probe.Stop()
	if err := sleep(ctx, e.watch); err != nil {
		return figure{}, err
	}
	attempts := probe.Stop()
	last, err := vips.Get(ctx, e.service.vip, metav1.GetOptions{})
	if err != nil {
		return figure{}, err
	}
	// The term grows with each change of owner, also with those that no watcher of the API server saw.
	f := summarize("takeovers", []float64{float64(last.Status.Term - first.Status.Term)}, true).with("seconds", e.watch.Seconds())
	f = f.with("nodes", e.nodes).with("loaded", true)
	return f.with("failed", attempts.Failures()).with("requests", len(attempts)).
		with("longest_gap_ms", milliseconds(attempts.LongestGap())), nil
}
