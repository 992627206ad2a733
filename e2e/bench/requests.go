// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strconv"
)

var (
	// requestCount is a line of the API server's metrics.
	requestCount = regexp.MustCompile(`^apiserver_request_total\{(.*)\} (\S+)$`)
	// label is a name and a value in such a line.
	label = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

// requests returns how many requests the API server has answered, by verb and resource. Watches are not counted.
func (c *cluster) requests(ctx context.Context) (map[string]float64, error) {
	text, err := c.kube.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's metrics: %w", err)
	}
	counts := map[string]float64{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		match := requestCount.FindStringSubmatch(lines.Text())
		if match == nil {
			continue
		}
		labels := map[string]string{}
		for _, pair := range label.FindAllStringSubmatch(match[1], -1) {
			labels[pair[1]] = pair[2]
		}
		if labels["verb"] == "WATCH" || labels["resource"] == "" {
			continue
		}
		n, err := strconv.ParseFloat(match[2], 64)
		if err != nil {
			return nil, fmt.Errorf("the API server's metrics: %q: %w", lines.Text(), err)
		}
		name := labels["verb"] + " " + labels["resource"]
		if labels["subresource"] != "" {
			name += "/" + labels["subresource"]
		}
		counts[name] += n
	}
	return counts, lines.Err()
}
