// SPDX-License-Identifier: Apache-2.0

package health

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

const (
	// maxAnswer bounds what is read of an answer, header and body.
	maxAnswer = 64 << 10
	// maxBody is the longest body that is read at all. Of others only the header counts.
	maxBody = 4 << 10
)

// probeHTTP passes where a request gets one of the codes; it follows no redirect. One connection carries one request: a
// connection that is kept open says nothing about the way that new ones take.
func probeHTTP(ctx context.Context, c Check) (what string, err error) {
	req, err := request(ctx, c)
	if err != nil {
		return string(c.Type), err
	}
	what = req.Method + " " + req.URL.String()
	raw, err := dial(ctx, c)
	if err != nil {
		return what, err
	}
	defer raw.Close()
	defer endWith(ctx, raw)()
	conn := net.Conn(raw)
	if c.Type == HTTPS {
		secure := tls.Client(raw, tlsConfig(c))
		if err := secure.HandshakeContext(ctx); err != nil {
			return what, err
		}
		conn = secure
	}
	if err := req.Write(conn); err != nil {
		return what, err
	}
	code, err := answer(bufio.NewReader(io.LimitReader(conn, maxAnswer)), req)
	if err != nil {
		return what, err
	}
	if !c.accepts(code) {
		return what, fmt.Errorf("status %d, want %s", code, wanted(c))
	}
	return what, nil
}

func request(ctx context.Context, c Check) (*http.Request, error) {
	path := c.Path
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	method := c.Method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.ToLower(string(c.Type))+"://"+c.Target.String()+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("path %q: %w", c.Path, err)
	}
	if c.Host != "" {
		req.Host = c.Host
	}
	req.Close = true
	req.Header.Set("User-Agent", "fairlead-health")
	return req, nil
}

// tlsConfig takes any certificate: what is checked is the way to the Service, and its certificate is for its clients'
// name.
func tlsConfig(c Check) *tls.Config {
	name := c.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	return &tls.Config{InsecureSkipVerify: true, ServerName: name, NextProtos: []string{"http/1.1"}} //nolint:gosec // see above
}

// answer returns the status code of the final answer, without those that only precede it (100, 103).
func answer(r *bufio.Reader, req *http.Request) (int, error) {
	for {
		resp, err := http.ReadResponse(r, req) //nolint:bodyclose // see below
		if err != nil {
			return 0, err
		}
		if resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		if resp.ContentLength <= maxBody && resp.ContentLength > 0 {
			// A server that is cut off amid a short answer would log that as an error. What the body says, or whether it
			// ends, is not asked.
			_, _ = io.CopyN(io.Discard, resp.Body, resp.ContentLength)
		}
		// Closing the body would read it to its end. The connection is closed instead.
		return resp.StatusCode, nil
	}
}

func wanted(c Check) string {
	var all []string
	for _, r := range c.codes() {
		all = append(all, r.String())
	}
	return strings.Join(all, ", ")
}
