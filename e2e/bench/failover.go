// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

const (
	// before is how long a probe runs before the fault.
	before = time.Second
	// quiet is how long no request must fail before a fault counts as over.
	quiet = 3 * time.Second
	// giveUp bounds the wait for that; Kubernetes alone takes 50 s to notice a dead node.
	giveUp = 90 * time.Second
)

// crash is what a client saw of one node's crash, or of a planned move.
type crash struct {
	gap       time.Duration // longest time without an answer
	announced time.Duration // from the crash until another station announced the address; 0 if none was seen
	unsettled time.Duration // from the crash to the last request that failed
	marked    time.Duration // from the crash until the API server showed the node's pod as not ready; 0 if not looked at
	sliced    time.Duration // the same for the pod's endpoint
	settled   bool          // requests had stopped to fail when the wait ended
	failed    int
	asked     int
	failures  []string // the first few, with their time from the crash on
	requests  lab.Attempts
}

// failover crashes the node that announces the address while a client opens a new connection each 10 ms.
func failover(p pressure) measure {
	return func(ctx context.Context, e *env) (figure, error) {
		crashes, err := e.crashRuns(ctx, p)
		if err != nil {
			return figure{}, err
		}
		var gaps, announced, failed []float64
		for _, one := range crashes {
			gaps, failed = append(gaps, milliseconds(one.gap)), append(failed, float64(one.failed))
			announced = append(announced, milliseconds(one.announced))
		}
		f := summarize("ms", gaps, true).with("nodes", e.nodes).with("loaded", bool(p)).with("p90", quantile(gaps, 0.9))
		return f.with("announced_median_ms", quantile(announced, 0.5)).with("failed_median", quantile(failed, 0.5)), nil
	}
}

// recovery tells of the same crashes when the last request failed: also those count that went to endpoints on the node.
func recovery(p pressure) measure {
	return func(ctx context.Context, e *env) (figure, error) {
		crashes, err := e.crashRuns(ctx, p)
		if err != nil {
			return figure{}, err
		}
		var took, marked, sliced []float64
		unsettled := 0
		for _, one := range crashes {
			took = append(took, milliseconds(one.unsettled))
			marked, sliced = append(marked, milliseconds(one.marked)), append(sliced, milliseconds(one.sliced))
			if !one.settled {
				unsettled++
			}
		}
		f := summarize("ms", took, true).with("nodes", e.nodes).with("loaded", bool(p))
		f = f.with("never_settled", unsettled).with("marked_median_ms", quantile(marked, 0.5)).with("marked_worst_ms", slices.Max(marked))
		return f.with("slice_median_ms", quantile(sliced, 0.5)).with("slice_worst_ms", slices.Max(sliced)), nil
	}
}

// crashRuns crashes nodes, once for all benchmarks that look at the same runs.
func (e *env) crashRuns(ctx context.Context, p pressure) ([]crash, error) {
	if known := e.crashes[p]; known != nil {
		return known, nil
	}
	free, err := e.press(p)
	if err != nil {
		return nil, err
	}
	defer free()
	var all []crash
	for i := range e.runsOr(10) {
		one, err := e.crashOwner(ctx)
		if err != nil {
			return nil, fmt.Errorf("run %d: %w", i+1, err)
		}
		all = append(all, one)
		e.say("run %d: %d ms without an answer, announced after %d ms, %d of %d requests failed, the last after %d ms; "+
			"pod marked after %d ms, EndpointSlice after %d ms", i+1, one.gap.Milliseconds(), one.announced.Milliseconds(),
			one.failed, one.asked, one.unsettled.Milliseconds(), one.marked.Milliseconds(), one.sliced.Milliseconds())
	}
	e.crashes[p] = all
	return all, nil
}

// crashOwner crashes the node that announces the address, watches until requests have stopped to fail, and restores it.
func (e *env) crashOwner(ctx context.Context) (crash, error) {
	if err := e.awaitSteady(ctx); err != nil {
		return crash{}, err
	}
	owner, err := e.owner(ctx)
	if err != nil {
		return crash{}, err
	}
	var one crash
	if slices.ContainsFunc(e.selected, func(name string) bool { return strings.HasPrefix(name, "l2_recovery") }) {
		one, err = e.watchRecovery(ctx, owner)
	} else {
		one, err = e.watchGap(ctx, func() error { return e.lab.CrashNode(owner) })
	}
	if err != nil {
		return crash{}, err
	}
	return one, e.lab.RestoreNode(ctx, owner)
}

// watchRecovery crashes a node and watches until no request has failed for a while, and what the API server shows meanwhile.
func (e *env) watchRecovery(ctx context.Context, node string) (crash, error) {
	if err := e.forgetDeath(ctx, node); err != nil {
		return crash{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	marked, err := e.podMarked(ctx, e.pods[node])
	if err != nil {
		return crash{}, err
	}
	sliced, err := e.endpointLost(ctx, webNamespace, "web", node)
	if err != nil {
		return crash{}, err
	}
	var moment time.Time
	one, err := e.watchFault(ctx, func() error {
		moment = time.Now()
		return e.lab.CrashNode(node)
	})
	if err != nil || !one.settled {
		return one, err
	}
	one.marked, one.sliced = (<-marked).Sub(moment), (<-sliced).Sub(moment)
	return one, nil
}

// forgetDeath starts the controller manager anew if the node has crashed before: it keeps quiet for ten minutes about a
// node that came back, and what is measured is a node that fails for the first time.
func (e *env) forgetDeath(ctx context.Context, node string) error {
	if !e.crashed[node] {
		e.crashed[node] = true
		return nil
	}
	e.crashed = map[string]bool{node: true}
	return e.restartCCM(ctx)
}

// watchGap probes the address from before a fault until the address has had time to move.
func (c *cluster) watchGap(ctx context.Context, fault func() error) (crash, error) {
	return c.observe(ctx, lab.ProbeOptions{}, fault, func(moment time.Time, seen lab.Attempts) bool {
		late := seen.Since(time.Now().Add(-quiet / 3))
		return time.Since(moment) > quiet && late.Failures() < len(late)
	})
}

// watchFault probes the address from before a fault until no request has failed for a while.
func (c *cluster) watchFault(ctx context.Context, fault func() error) (crash, error) {
	return c.observe(ctx, lab.ProbeOptions{}, fault, func(moment time.Time, seen lab.Attempts) bool {
		return time.Since(moment)-seen.Unsettled(moment) > quiet
	})
}

// watchPatiently is watchFault with patient clients.
func (c *cluster) watchPatiently(ctx context.Context, fault func() error) (crash, error) {
	return c.observe(ctx, patient(), fault, calm)
}

// patient is how clients ask who wait for long, and whose first SYN is to be answered: what fails is lost on the way, and not
// late because the machine is busy.
func patient() lab.ProbeOptions { return lab.ProbeOptions{Timeout: 20 * time.Second, FirstSYN: true} }

// calm tells whether no request of patient clients has failed for a while: a failure is known some seconds after the start of
// the request.
func calm(moment time.Time, seen lab.Attempts) bool {
	return time.Since(moment)-seen.Unsettled(moment) > 2*quiet
}

// observe probes the address from before a fault until over says that enough was seen.
func (c *cluster) observe(ctx context.Context, options lab.ProbeOptions, fault func() error, over func(moment time.Time, seen lab.Attempts) bool) (crash, error) {
	capture, err := c.lab.CaptureARP(lab.Client)
	if err != nil {
		return crash{}, err
	}
	defer capture.Stop()
	probe, err := c.lab.ProbeHTTP(ctx, lab.Client, c.service.url(), options)
	if err != nil {
		return crash{}, err
	}
	defer probe.Stop()
	if err := sleep(ctx, before); err != nil {
		return crash{}, err
	}
	moment := time.Now()
	if err := fault(); err != nil {
		return crash{}, err
	}
	settled := false
	for !settled && time.Since(moment) < giveUp {
		if err := sleep(ctx, quiet/3); err != nil {
			return crash{}, err
		}
		settled = over(moment, probe.Attempts())
	}
	attempts := probe.Stop()
	return crash{
		gap: attempts.LongestGap(), announced: c.firstAnnouncement(capture.Stop(), moment), unsettled: attempts.Unsettled(moment),
		settled: settled, failed: attempts.Failures(), asked: len(attempts), failures: describeFailures(attempts, moment),
		requests: attempts,
	}, nil
}

// firstAnnouncement returns how long after the moment the address was first announced without being asked for.
func (c *cluster) firstAnnouncement(seen []lab.ARPSeen, moment time.Time) time.Duration {
	for _, packet := range seen {
		if packet.SenderIP.String() == c.service.address && packet.Gratuitous() && packet.Time.After(moment) {
			return packet.Time.Sub(moment)
		}
	}
	return 0
}

// describeFailures tells of the first requests that failed.
func describeFailures(attempts lab.Attempts, moment time.Time) []string {
	const most = 5
	var out []string
	for _, one := range attempts {
		if !one.OK && len(out) < most {
			out = append(out, fmt.Sprintf("%+d ms: %s", one.Start.Sub(moment).Milliseconds(), one.Err))
		}
	}
	return out
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
