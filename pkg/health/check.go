// SPDX-License-Identifier: Apache-2.0

package health

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Type is what a probe speaks.
type Type string

// The types of probe.
const (
	TCP   Type = "TCP"
	HTTP  Type = "HTTP"
	HTTPS Type = "HTTPS"
	UDP   Type = "UDP"
	GRPC  Type = "GRPC"
)

// Check is a probe and how often it is made.
type Check struct {
	Type   Type
	Target netip.AddrPort
	// Path of the request (HTTP, HTTPS), with a query if need be; "" means /. Name of the service for GRPC.
	Path string
	// Host is the Host header (HTTP, HTTPS), the server name (HTTPS) and the authority (GRPC); "" means the target.
	Host string
	// Method of the request (HTTP, HTTPS); "" means GET.
	Method string
	// Codes that pass (HTTP, HTTPS); none means 200 to 399.
	Codes []Codes
	// Interval from the start of one probe to that of the next, give or take a twentieth. A probe that takes longer is
	// waited for.
	Interval time.Duration
	// Timeout of one probe. UDP waits for an answer no longer than the interval either.
	Timeout time.Duration
	Thresholds
}

// Codes is a range of HTTP status codes, both ends included.
type Codes struct{ First, Last int }

// ParseCodes reads one code (204) or a range (200-299), between 100 and 599.
func ParseCodes(s string) (Codes, error) {
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	a, errA := strconv.Atoi(first)
	b, errB := strconv.Atoi(last)
	if errA != nil || errB != nil || a < 100 || b > 599 || a > b {
		return Codes{}, fmt.Errorf("status codes %q: must be a code from 100 to 599, or first-last", s)
	}
	return Codes{a, b}, nil
}

// String writes the range as [ParseCodes] reads it.
func (c Codes) String() string {
	if c.First == c.Last {
		return strconv.Itoa(c.First)
	}
	return fmt.Sprintf("%d-%d", c.First, c.Last)
}

// accepts tells whether a status code passes.
func (c Check) accepts(code int) bool {
	return slices.ContainsFunc(c.codes(), func(r Codes) bool { return r.First <= code && code <= r.Last })
}

func (c Check) codes() []Codes {
	if len(c.Codes) == 0 {
		return []Codes{{200, 399}}
	}
	return c.Codes
}

// equal tells whether both checks are the same.
func (c Check) equal(d Check) bool {
	return c.Type == d.Type && c.Target == d.Target && c.Path == d.Path && c.Host == d.Host && c.Method == d.Method &&
		slices.Equal(c.Codes, d.Codes) && c.Interval == d.Interval && c.Timeout == d.Timeout && c.Thresholds == d.Thresholds
}
