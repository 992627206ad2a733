// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// kept is a connection that a client holds open.
type kept struct {
	s      *space
	conn   net.Conn
	reader *bufio.Reader
	addr   netip.Addr
}

// keep opens a connection from the client's host, and asks over it once.
func (s *space) keep(addr netip.Addr) *kept {
	s.t.Helper()
	conn, err := s.Dial(s.t.Context(), lab.Client, "tcp", net.JoinHostPort(addr.String(), "80"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	k := &kept{s: s, conn: conn, reader: bufio.NewReader(conn), addr: addr}
	k.ask("when it was opened")
	return k
}

// ask fails the test unless the connection goes on.
func (k *kept) ask(when string) {
	k.s.t.Helper()
	answer, err := k.try()
	if err != nil {
		k.s.t.Errorf("a kept connection to %s is broken %s: %v", k.addr, when, err)
		return
	}
	k.s.t.Logf("%s, pod %s answers over the kept connection", when, answer.Pod)
}

func (k *kept) try() (answer lab.Answer, err error) {
	if err := k.conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil { // TCP repeats itself within
		return answer, err
	}
	if _, err := fmt.Fprint(k.conn, "GET / HTTP/1.1\r\nHost: e2e\r\n\r\n"); err != nil {
		return answer, err
	}
	response, err := http.ReadResponse(k.reader, nil)
	if err != nil {
		return answer, err
	}
	defer response.Body.Close()
	return answer, json.NewDecoder(response.Body).Decode(&answer)
}

// awaitAnnouncerMetric waits until the announcer of a node exports a line that begins so and ends with another number than 0.
func (s *space) awaitAnnouncerMetric(node, line string) {
	s.t.Helper()
	url := "http://" + net.JoinHostPort(s.Addr4(node).String(), "7480") + "/metrics"
	lab.Await(s.t.Context(), s.t, "metric "+line+" of "+node, func(ctx context.Context) (bool, string, error) {
		text, err := s.HTTPGet(ctx, lab.Client, url)
		if err != nil {
			return false, err.Error(), nil
		}
		for got := range strings.Lines(text) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(got), line+" "); ok && value != "0" {
				return true, "", nil
			}
		}
		return false, "there is none, or 0", nil
	})
}
