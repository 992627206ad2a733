// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// Answer is what the backend of a pod says about a request.
type Answer struct {
	Pod    string `json:"pod"`
	Node   string `json:"node"`
	Client string `json:"client"` // address and port that the pod saw
}

// httpClient returns a client whose every request makes a new connection from the host.
func (h *host) httpClient(timeout time.Duration) *http.Client {
	return newConnections(timeout, h.dial)
}

type dial func(ctx context.Context, network, address string) (net.Conn, error)

func newConnections(timeout time.Duration, by dial) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true, DialContext: by}}
}

func fetch(ctx context.Context, client *http.Client, url string, want int) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("read the answer of %s: %w", url, err)
	}
	if response.StatusCode != want {
		return string(body), fmt.Errorf("%s answered %s", url, response.Status)
	}
	return string(body), nil
}

// requestTimeout bounds a single request; a deadline of the context that is closer goes before.
const requestTimeout = 2 * time.Second

// HTTPGet fetches a URL, whose host must be an IP literal, over a new connection from a host of the lab. An answer other
// than 200 is an error.
func (l *Lab) HTTPGet(ctx context.Context, host, url string) (string, error) {
	h, err := l.host(host)
	if err != nil {
		return "", err
	}
	client := h.httpClient(requestTimeout)
	defer client.CloseIdleConnections()
	return fetch(ctx, client, url, http.StatusOK)
}

// Ask is HTTPGet of a pod's backend: it returns which pod answered, and whom it saw.
func (l *Lab) Ask(ctx context.Context, host, url string) (Answer, error) {
	body, err := l.HTTPGet(ctx, host, url)
	if err != nil {
		return Answer{}, err
	}
	return parseAnswer([]byte(body))
}

// AskUDP sends one datagram from a new socket of a host to a pod's backend and returns what it answers within a second.
// address is an IP literal and a port.
func (l *Lab) AskUDP(ctx context.Context, host, address string) (Answer, error) {
	h, err := l.host(host)
	if err != nil {
		return Answer{}, err
	}
	return h.askUDP(ctx, address, time.Second)
}

func (h *host) askUDP(ctx context.Context, address string, timeout time.Duration) (Answer, error) {
	conn, err := h.dial(ctx, "udp", address)
	if err != nil {
		return Answer{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return Answer{}, err
	}
	if _, err := conn.Write([]byte("who")); err != nil {
		return Answer{}, err
	}
	buffer := make([]byte, 1500)
	n, err := conn.Read(buffer)
	if err != nil {
		return Answer{}, err
	}
	return parseAnswer(buffer[:n])
}

func parseAnswer(data []byte) (Answer, error) {
	var a Answer
	if err := json.Unmarshal(data, &a); err != nil {
		return a, fmt.Errorf("parse the answer %q: %w", data, err)
	}
	return a, nil
}

// timedOut tells a request that nobody answered from one that was refused.
func timedOut(err error) bool {
	var netErr net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &netErr) && netErr.Timeout()
}
