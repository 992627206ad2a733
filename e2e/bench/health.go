// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

const (
	// probeTargets is the number of targets of health_probes, probed each probeInterval.
	probeTargets  = 2000
	probeInterval = 2 * time.Second
	// probeWatch is how long a run watches them.
	probeWatch = 20 * time.Second
	// probedRange has room for the targets; no host of the lab has an address of it (RFC 2544).
	probedRange, firstProbed = "198.18.0.0/20", "198.18.1.0:8080"
	// startsSlice is the time for which starts of probes are counted together.
	startsSlice = 100 * time.Millisecond
)

// probeRecord is what the prober writes, times in milliseconds.
type probeRecord struct {
	Share              float64
	Starts, Late, Took []float64
	Failed             int
}

// healthProbes has one node probe 2,000 addresses by HTTP, as announcers probe, and once by TCP. A real server answers at
// all of them, in a pod of the node. It is the prober's CPU time that counts, and when probes start.
func healthProbes(ctx context.Context, e *env) (figure, error) {
	node := e.lab.Nodes()[0]
	if err := e.lab.Build(ctx, "./e2e/bench/prober"); err != nil {
		return figure{}, err
	}
	pod, err := e.startProbed(ctx, node)
	if err != nil {
		return figure{}, err
	}
	defer func() {
		if err := e.lab.DeletePod(context.WithoutCancel(ctx), pod); err != nil {
			e.say("removing the pod: %v", err)
		}
	}()
	var all probeRecord
	var shares, starts []float64
	for i := range e.runsOr(3) {
		r, err := e.probe(ctx, node, "HTTP", i)
		if err != nil {
			return figure{}, err
		}
		shares, starts = append(shares, 100*r.Share), append(starts, startsPerSlice(r.Starts)...)
		all.Late, all.Took = append(all.Late, r.Late...), append(all.Took, r.Took...)
		all.Failed += r.Failed
		e.say("run %d: %.1f %% of a core", i+1, 100*r.Share)
	}
	tcp, err := e.probe(ctx, node, "TCP", 0)
	if err != nil {
		return figure{}, err
	}
	f := summarize("percent of a core", shares, true).with("targets", probeTargets).with("interval_s", probeInterval.Seconds())
	f = f.with("probes", len(all.Late)).with("failed", all.Failed).with("tcp_percent", 100*tcp.Share)
	return reportSpread(f, all, starts), nil
}

// reportSpread adds when probes began and what they took.
func reportSpread(f figure, r probeRecord, starts []float64) figure {
	for _, of := range []struct {
		name   string
		values []float64
	}{{"late_ms", r.Late}, {"took_ms", r.Took}} {
		f = f.with(of.name+"_p50", quantile(of.values, 0.5)).with(of.name+"_p99", quantile(of.values, 0.99)).
			with(of.name+"_worst", slices.Max(of.values))
	}
	return f.with("starts_per_100ms_least", slices.Min(starts)).with("starts_per_100ms_p50", quantile(starts, 0.5)).
		with("starts_per_100ms_p99", quantile(starts, 0.99)).with("starts_per_100ms_most", slices.Max(starts))
}

// startProbed starts a pod that answers at all addresses of the range, to which its node knows the way.
func (e *env) startProbed(ctx context.Context, node string) (*lab.Pod, error) {
	pod, err := e.lab.StartPod(ctx, lab.PodSpec{Name: "probed", Node: node})
	if err != nil {
		return nil, err
	}
	if _, err := e.lab.Exec(ctx, pod.Host(), "ip", "route", "replace", "local", probedRange, "dev", "lo"); err != nil {
		return nil, err
	}
	_, err = e.lab.Exec(ctx, node, "ip", "route", "replace", probedRange, "via", pod.Addr4.String())
	return pod, err
}

// probe runs the prober once.
func (e *env) probe(ctx context.Context, node, kind string, run int) (probeRecord, error) {
	p, err := e.lab.StartProcess(node, lab.Command{
		Name: fmt.Sprintf("prober-%s-%d", strings.ToLower(kind), run), Path: e.lab.Program("prober"), Args: []string{
			"-first", firstProbed, "-targets", strconv.Itoa(probeTargets), "-type", kind, "-interval", probeInterval.String(),
			"-watch", probeWatch.String(),
		},
	})
	if err != nil {
		return probeRecord{}, err
	}
	if err := p.Wait(ctx); err != nil {
		return probeRecord{}, fmt.Errorf("the prober: %w; the end of its log: %s", err, tail(p.Log()))
	}
	var r probeRecord
	if err := json.Unmarshal([]byte(p.Log()), &r); err != nil {
		return probeRecord{}, fmt.Errorf("what the prober wrote: %w", err)
	}
	// With other numbers it is not 2,000 answers each two seconds that were measured.
	want := probeTargets * int(probeWatch/probeInterval)
	if n := len(r.Starts); n < want*9/10 || r.Failed > want/100 {
		return probeRecord{}, fmt.Errorf("%d probes, of which %d failed: expected %d, and none to fail", n, r.Failed, want)
	}
	return r, nil
}

// startsPerSlice counts the starts in each whole slice of the time watched.
func startsPerSlice(starts []float64) []float64 {
	counts := make([]float64, probeWatch/startsSlice)
	for _, ms := range starts {
		if at := int(ms / milliseconds(startsSlice)); at < len(counts) {
			counts[at]++
		}
	}
	return counts
}
