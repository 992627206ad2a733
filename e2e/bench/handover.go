// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// handover ends the announcer that owns the address as a rolling update does, and counts the requests that fail.
func handover(ctx context.Context, e *env) (figure, error) {
	var failed, gaps []float64
	asked, moved := 0, 0
	runs := e.runsOr(10)
	e.say("%d times SIGTERM to the announcer that owns the address", runs)
	for i := range runs {
		if err := e.awaitSteady(ctx); err != nil {
			return figure{}, err
		}
		one, changed, err := e.restartOwner(ctx)
		if err != nil {
			return figure{}, fmt.Errorf("run %d: %w", i+1, err)
		}
		e.say("run %d: %d of %d requests failed, longest gap %d ms", i+1, one.failed, one.asked, one.gap.Milliseconds())
		failed, gaps, asked = append(failed, float64(one.failed)), append(gaps, milliseconds(one.gap)), asked+one.asked
		if changed {
			moved++
		}
	}
	f := summarize("failed requests", failed, true).with("requests", asked).with("moved", moved)
	return f.with("longest_gap_ms", quantile(gaps, 1)), nil
}

// restartOwner ends the owner's announcer, watches the clients, and starts it again. changed tells whether another node
// announced the address then.
func (e *env) restartOwner(ctx context.Context) (one crash, changed bool, err error) {
	owner, err := e.owner(ctx)
	if err != nil {
		return crash{}, false, err
	}
	one, err = e.watchFault(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		if err := e.lab.Announcer(owner).Terminate(ctx); err != nil {
			return fmt.Errorf("announcer of %s: %w", owner, err)
		}
		return nil
	})
	if err != nil {
		return crash{}, false, err
	}
	now, err := e.owner(ctx)
	if err != nil {
		return crash{}, false, err
	}
	_, err = e.lab.StartAnnouncer(ctx, owner)
	return one, now != owner, err
}

// defaultWatch is how long falseTakeover watches when nothing else is asked for.
const defaultWatch = 2 * time.Minute

// falseTakeover watches a cluster in which nothing fails while every core is loaded: each change of the owner is one too
// many. The longest time without an answer is reported too.
func falseTakeover(ctx context.Context, e *env) (figure, error) {
	if err := e.awaitSteady(ctx); err != nil {
		return figure{}, err
	}
	free, err := e.press()
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
	return f.with("failed", attempts.Failures()).with("requests", len(attempts)).
		with("longest_gap_ms", milliseconds(attempts.LongestGap())), nil
}
