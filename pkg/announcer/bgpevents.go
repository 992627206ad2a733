// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/bgp"
)

// Reasons of events on BGPPeers.
const (
	reasonSessionUp     = "SessionEstablished"
	reasonSessionLost   = "SessionLost"
	reasonSessionFailed = "SessionFailed"
)

const (
	// settleTime is how long a session must last before it counts as established, and its loss as one.
	settleTime = 2 * time.Second
	// settlePatience is how long BFD may end sessions before they have settled until somebody hears of it: a router may begin
	// BFD anew when it first has a session, which ends that one, and GoBGP the next one too if it had none at that moment.
	settlePatience = 30 * time.Second
)

// sessionNews finds out what is worth an event: a session that came up or was lost, and an error that keeps it from
// coming up, each once until it is up again.
type sessionNews struct {
	self  string
	known map[string]*knownSession
}

type knownSession struct {
	state bgp.State
	since time.Time // of state
	told  bool      // that the session is established
	// unsettled is when the session first ended, by BFD, before it had settled; zero once it has.
	unsettled time.Time
	errors    map[string]bool
}

// sessionEvent is one event on a BGPPeer.
type sessionEvent struct {
	peer, kind, reason, text string
}

func newSessionNews(self string) *sessionNews {
	return &sessionNews{self: self, known: map[string]*knownSession{}}
}

// take compares the sessions with what was known of them.
func (n *sessionNews) take(sessions []bgp.Session, now time.Time) []sessionEvent {
	var out []sessionEvent
	seen := map[string]bool{}
	for _, s := range sessions {
		seen[s.Peer] = true
		k := n.known[s.Peer]
		if k == nil {
			k = &knownSession{errors: map[string]bool{}}
			n.known[s.Peer] = k
		}
		if e, ok := n.judge(k, s, now); ok {
			out = append(out, e)
		}
		k.state, k.since = s.State, s.Since
	}
	for peer := range n.known {
		if !seen[peer] {
			delete(n.known, peer)
		}
	}
	return out
}

func (n *sessionNews) judge(k *knownSession, s bgp.Session, now time.Time) (sessionEvent, bool) {
	with := "node " + n.self
	if s.Address.IsValid() {
		with += " with " + s.Address.String()
	}
	established := s.State == bgp.Established
	switch {
	case established && !k.told && now.Sub(s.Since) >= settleTime:
		k.told, k.unsettled = true, time.Time{}
		clear(k.errors)
		return sessionEvent{s.Peer, corev1.EventTypeNormal, reasonSessionUp, "session of " + with + " is established"}, true
	case !established && k.state == bgp.Established && k.forgives(s, now):
		k.errors[s.LastError] = true
		return sessionEvent{}, false
	case !established && k.state == bgp.Established:
		k.told = false
		k.errors[s.LastError] = true
		text := "session of " + with + " is lost"
		if s.LastError != "" {
			text += ": " + s.LastError
		}
		return sessionEvent{s.Peer, corev1.EventTypeWarning, reasonSessionLost, text}, true
	case s.LastError != "" && !k.errors[s.LastError]:
		k.errors[s.LastError] = true
		return sessionEvent{
			s.Peer, corev1.EventTypeWarning, reasonSessionFailed, fmt.Sprintf("session of %s: %s", with, s.LastError),
		}, true
	}
	return sessionEvent{}, false
}

// forgives tells whether the end of a session is none that anybody need hear of.
func (k *knownSession) forgives(s bgp.Session, now time.Time) bool {
	if k.told || !s.LostByBFD || s.Since.Sub(k.since) >= settleTime {
		return false
	}
	if k.unsettled.IsZero() {
		k.unsettled = now
	}
	return now.Sub(k.unsettled) < settlePatience
}

// tell logs and records what has become of the sessions.
func (b *bgpAgent) tell(ctx context.Context) {
	for _, e := range b.news.take(b.sessions(), time.Now()) {
		klog.FromContext(ctx).Info("BGP session changed", "peer", e.peer, "reason", e.reason, "text", e.text)
		obj, ok, err := b.peers.GetStore().GetByKey(e.peer)
		if peer, is := obj.(*v1alpha1.BGPPeer); err == nil && ok && is {
			b.record(peer, e.kind, e.reason, e.text)
		}
	}
}
