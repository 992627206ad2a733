// SPDX-License-Identifier: Apache-2.0

package main

import "context"

// cost is what rounds have cost so far.
type cost struct {
	cpu      map[string]float64 // milliseconds, by program
	requests map[string]float64 // to the API server, by verb and resource
}

func newCost() cost { return cost{cpu: map[string]float64{}, requests: map[string]float64{}} }

// cost returns what the lab has cost since it started.
func (c *cluster) cost(ctx context.Context) (cost, error) {
	now := newCost()
	used, err := c.labCPU()
	if err != nil {
		return cost{}, err
	}
	for program, d := range used {
		now.cpu[program] = milliseconds(d)
	}
	now.requests, err = c.requests(ctx)
	return now, err
}

// add adds what was spent between two moments.
func (c cost) add(before, after cost) {
	for program, ms := range after.cpu {
		c.cpu[program] += ms - before.cpu[program]
	}
	for name, n := range after.requests {
		c.requests[name] += n - before.requests[name]
	}
}

// report adds the cost of each of n Services to the figure, but for what is next to nothing.
func (c cost) report(f figure, prefix string, n int) figure {
	return f.with(prefix+"cpu_ms_each", perService(c.cpu, n)).with(prefix+"requests_each", perService(c.requests, n))
}

func perService(spent map[string]float64, n int) map[string]float64 {
	each := map[string]float64{}
	for name, much := range spent {
		if one := rounded(much / float64(n)); one >= 0.05 {
			each[name] = one
		}
	}
	return each
}
