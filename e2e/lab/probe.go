// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// ProbeOptions tune a probe; the zero value is right for most.
type ProbeOptions struct {
	Interval time.Duration // between the starts of two requests; 0 means 10 ms
	Timeout  time.Duration // of one request; 0 means 200 ms
	// FirstSYN has an HTTP request fail if TCP had to send its SYN anew, however soon it was answered then. With a Timeout
	// of many seconds this tells what was lost on the way, and nothing that a busy machine answers late. What is lost is
	// known two seconds later; a retransmission after the handshake is no failure.
	FirstSYN bool
}

// Probe asks a backend again and again, each time over a new connection and without waiting for the last answer.
type Probe struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	attempts Attempts
}

// ProbeHTTP starts a probe of a URL, whose host must be an IP literal, from a host of the lab. It runs until Stop.
func (l *Lab) ProbeHTTP(ctx context.Context, host, url string, options ProbeOptions) (*Probe, error) {
	h, err := l.host(host)
	if err != nil {
		return nil, err
	}
	options.complete()
	client := h.httpClient(options.Timeout)
	if options.FirstSYN {
		client = newConnections(options.Timeout, h.dialFirstSYN)
	}
	return startProbe(ctx, options, func(ctx context.Context) (Answer, error) {
		body, err := fetch(ctx, client, url, http.StatusOK)
		if err != nil {
			return Answer{}, err
		}
		return parseAnswer([]byte(body))
	}), nil
}

// ProbeUDP starts a probe with datagrams, each from a new socket, so that each is a new flow to kube-proxy.
func (l *Lab) ProbeUDP(ctx context.Context, host, address string, options ProbeOptions) (*Probe, error) {
	h, err := l.host(host)
	if err != nil {
		return nil, err
	}
	options.complete()
	return startProbe(ctx, options, func(ctx context.Context) (Answer, error) {
		return h.askUDP(ctx, address, options.Timeout)
	}), nil
}

func (o *ProbeOptions) complete() {
	if o.Interval == 0 {
		o.Interval = 10 * time.Millisecond
	}
	if o.Timeout == 0 {
		o.Timeout = 200 * time.Millisecond
	}
}

func startProbe(ctx context.Context, options ProbeOptions, ask func(context.Context) (Answer, error)) *Probe {
	run, cancel := context.WithCancel(ctx)
	p := &Probe{cancel: cancel}
	p.wg.Go(func() {
		ticker := time.NewTicker(options.Interval)
		defer ticker.Stop()
		for {
			select {
			case <-run.Done():
				return
			case <-ticker.C:
				// A request under way outlives Stop: it ends by itself, and its result counts.
				p.wg.Go(func() { p.attempt(ctx, ask) })
			}
		}
	})
	return p
}

func (p *Probe) attempt(ctx context.Context, ask func(context.Context) (Answer, error)) {
	start := time.Now()
	by, err := ask(ctx)
	one := Attempt{Start: start, End: time.Now(), OK: err == nil, By: by}
	if err != nil {
		one.Err, one.TimedOut = err.Error(), timedOut(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempts = append(p.attempts, one)
}

// Attempts returns what has been asked so far, except for requests under way.
func (p *Probe) Attempts() Attempts {
	p.mu.Lock()
	defer p.mu.Unlock()
	sorted := slices.Clone(p.attempts)
	slices.SortFunc(sorted, func(a, b Attempt) int { return a.Start.Compare(b.Start) })
	return sorted
}

// Stop ends the probe, waits for the requests under way and returns all attempts.
func (p *Probe) Stop() Attempts {
	p.cancel()
	p.wg.Wait()
	return p.Attempts()
}
