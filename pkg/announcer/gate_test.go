// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// kubeProxy answers requests to its health check in place of a network.
type kubeProxy func(*http.Request) (*http.Response, error)

func (k kubeProxy) RoundTrip(r *http.Request) (*http.Response, error) { return k(r) }

func well(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(""))}, nil
}

func refusing(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }

func hanging(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestKubeProxyThatDoesNotAnswerIsDead within the 3 to 5 s that the documentation names.
func TestKubeProxyThatDoesNotAnswerIsDead(t *testing.T) {
	for name, fault := range map[string]kubeProxy{"refuses": refusing, "hangs": hanging} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var now atomic.Value
				now.Store(kubeProxy(well))
				changes := make(chan struct{}, 2)
				g := newGateKeeper("http://192.0.2.1:10256/livez", nil, func() { changes <- struct{}{} })
				g.client.Transport = kubeProxy(func(r *http.Request) (*http.Response, error) { return now.Load().(kubeProxy)(r) })
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					g.run(ctx)
				}()
				time.Sleep(time.Minute)
				for _, fault := range []kubeProxy{fault, well} {
					began := time.Now()
					now.Store(fault)
					<-changes
					took := time.Since(began)
					if dead := g.kubeProxyDead(); dead && (took < 2*time.Second || took > 5500*time.Millisecond) || !dead && took > 2*time.Second {
						t.Errorf("dead: %t after %s", dead, took)
					}
				}
				if g.kubeProxyDead() {
					t.Error("dead though it answers again")
				}
				cancel()
				<-ended
			})
		})
	}
}

// TestKubeProxyIsNotDeadForALookOrTwo, however late they come: an agent that was paused has had no answer for long.
func TestKubeProxyIsNotDeadForALookOrTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		g := newGateKeeper("http://192.0.2.1:10256/livez", nil, func() { t.Error("taken for dead") })
		g.client.Transport = kubeProxy(func(r *http.Request) (*http.Response, error) {
			if asked++; asked%healthzFailures == 0 {
				return well(r)
			}
			time.Sleep(healthzPatience)
			return refusing(r)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		g.run(ctx)
		if asked < 2*healthzFailures {
			t.Errorf("asked %d times in a minute", asked)
		}
	})
}
