// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// figure is the result of a benchmark: one line of JSON.
type figure struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Median float64 `json:"median"`
	Worst  float64 `json:"worst"`
	Runs   int     `json:"runs"`
	// Load and LoadAfter are the machine's load average of the last minute when the benchmark started and when it ended.
	Load      float64 `json:"load"`
	LoadAfter float64 `json:"load_after"`
	// More holds what only this benchmark tells, by key. It follows the fields above, in order of the keys.
	More map[string]any `json:"-"`
}

// summarize returns the median and the worst of the values, which is the greatest or the smallest.
func summarize(unit string, values []float64, moreIsWorse bool) figure {
	f := figure{Unit: unit, Median: rounded(quantile(values, 0.5)), Runs: len(values)}
	if moreIsWorse {
		f.Worst = rounded(slices.Max(values))
	} else {
		f.Worst = rounded(slices.Min(values))
	}
	return f
}

// with adds a field.
func (f figure) with(key string, value any) figure {
	if f.More == nil {
		f.More = map[string]any{}
	}
	if number, ok := value.(float64); ok {
		value = rounded(number)
	}
	f.More[key] = value
	return f
}

func (f figure) print(out io.Writer) error {
	line, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("writing the figure %s: %w", f.Name, err)
	}
	if len(f.More) > 0 {
		more, err := json.Marshal(f.More)
		if err != nil {
			return fmt.Errorf("writing the figure %s: %w", f.Name, err)
		}
		line = slices.Concat(bytes.TrimSuffix(line, []byte("}")), []byte(","), more[1:])
	}
	_, err = fmt.Fprintf(out, "%s\n", line)
	return err
}

// quantile returns the q-quantile (0 to 1) of values, of which there must be one at least, between the two nearest.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (sorted[high]-sorted[low])*(at-float64(low))
}

// rounded keeps three digits behind the point: no benchmark here is more exact.
func rounded(v float64) float64 { return math.Round(v*1000) / 1000 }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// loadAverage returns the machine's load average of the last minute.
func loadAverage() (float64, error) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0, fmt.Errorf("/proc/loadavg: %w", err)
	}
	return load, nil
}
