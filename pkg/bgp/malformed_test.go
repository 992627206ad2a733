// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// malformedSeed has other messages sent when set in the environment: those of a run are always the same.
	malformedSeed = "FAIRLEAD_BGP_SEED"
	// malformedSessions is how often each of the bad peers comes back; the environment may ask for more.
	malformedSessions = "FAIRLEAD_BGP_SESSIONS"
	badPeers          = 200
	// perSession messages at most: most sessions end sooner.
	perSession = 200
)

func fromEnvironment(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestMalformedMessages lets bad peers send nearly sound messages in established sessions, while a good router must not
// notice anything.
//
// GoBGP 4.8.0 takes the state of a neighbor from a structure that it overwrites, with what is in it already, when a session ends
// (handleFSMMessage). It does no harm, and hundreds of sessions that end at once are where the race detector sees it.
func TestMalformedMessages(t *testing.T) {
	if raced {
		t.Skip("GoBGP's own race when many sessions end at once")
	}
	seed := fromEnvironment(t, malformedSeed, 1)
	sessions := int(fromEnvironment(t, malformedSessions, 2))
	t.Logf("%s=%d", malformedSeed, seed)
	good := newRouter(t, "frr", 1)
	good.frr(frrConfig(good))
	s := newSpeaker(t)
	d := Desired{Peers: []Peer{frrPeer(good)}, Routes: []Route{{Prefix: prefix("10.99.0.1/32")}, {Prefix: prefix("fd99::1/128")}}}
	var bad []*rawPeer
	for n := range badPeers {
		p := newRawPeer(t, n+1)
		bad = append(bad, p)
		d.Peers = append(d.Peers, p.peer())
	}
	apply(t, s, d)
	established(t, s)
	before := session(s, "frr")

	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(sessions)*time.Minute)
	defer cancel()
	corpus := sound(t)
	var peers sync.WaitGroup
	var sent, up atomic.Int64
	for n, p := range bad {
		peers.Go(func() {
			m := &mutator{rand.New(rand.NewPCG(seed, uint64(n))), corpus}
			for range sessions {
				raw, err := p.establish(ctx)
				if err != nil {
					t.Errorf("%s: no session: %v", p.name, err)
					return
				}
				up.Add(1)
				for range perSession {
					sent.Add(1)
					if !raw.survives(m.message(), time.Second) {
						break
					}
				}
				raw.end()
			}
		})
	}
	peers.Wait()
	t.Logf("%d messages in %d sessions", sent.Load(), up.Load())
	if now := session(s, "frr"); now.State != Established || now.Flaps != before.Flaps || now.Since != before.Since {
		t.Errorf("the session with the good router: before %+v, after %+v", before, now)
	}
	if got := known(t, s); got != "10.99.0.1/32 fd99::1/128 " {
		t.Errorf("the table has %s, want the speaker's own routes only", got)
	}
	d.Routes = append(d.Routes, Route{Prefix: prefix("10.99.0.2/32")})
	apply(t, s, d)
	good.has("10.99.0.2/32", true)
	x := session(s, bad[0].name)
	t.Logf("a bad peer: %+v", x)
	if x.Flaps < sessions {
		t.Errorf("session with a bad peer %+v: want it lost %d times", x, sessions)
	}
}

// FuzzEstablishedSession sends messages with sound headers, but for a type and a body of the fuzzer's choice.
func FuzzEstablishedSession(f *testing.F) {
	for kind, bodies := range sound(f) {
		for _, body := range bodies {
			f.Add(kind, body)
		}
	}
	s := New(Config{})
	f.Cleanup(func() {
		if err := s.Stop(context.Background(), false); err != nil {
			f.Error(err)
		}
	})
	ctx, cancel := context.WithCancel(f.Context())
	var peers sync.WaitGroup
	f.Cleanup(peers.Wait)
	f.Cleanup(cancel)
	ready := make(chan *rawSession)
	d := Desired{RouterID: prefix("10.9.0.1/32").Addr(), Routes: []Route{{Prefix: prefix("10.99.0.1/32")}}}
	for n := range badPeers {
		p := newRawPeer(f, n+1)
		d.Peers = append(d.Peers, p.peer())
		peers.Go(func() { p.offer(ctx, ready) })
	}
	if err := s.Apply(f.Context(), d); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		if len(body) > 4000 {
			return
		}
		raw := <-ready
		defer raw.release()
		if raw.survives(frame(kind, body), 10*time.Second) {
			return
		}
		select {
		case <-raw.done:
		default:
			t.Fatalf("type %d, body %x: neither an answer nor the end of the session", kind, body)
		}
	})
}

// offer keeps a session up and hands it to whoever wants it, until ctx is done.
func (p *rawPeer) offer(ctx context.Context, ready chan<- *rawSession) {
	for ctx.Err() == nil {
		s, err := p.establish(ctx)
		if err != nil {
			continue
		}
		p.offerOne(ctx, s, ready)
		s.end()
	}
}

func (p *rawPeer) offerOne(ctx context.Context, s *rawSession, ready chan<- *rawSession) {
	s.free = make(chan struct{}, 1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.done:
			return
		case ready <- s:
			<-s.free
		}
	}
}

// release gives the session back.
func (s *rawSession) release() { s.free <- struct{}{} }
