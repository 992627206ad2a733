// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"k8s.io/klog/v2"
)

var torA = netip.MustParseAddr("192.0.2.1")

// started is a board with one session, towards tor-a.
func started() *board {
	b := newBoard(make(chan struct{}, 1))
	b.know(torA, Peer{Name: "tor-a"})
	return b
}

// goesTo tells the board that GoBGP changed the state of the session.
func (b *board) goesTo(state bgp.FSMState, reason api.PeerState_DisconnectReason, message string) {
	ev := &apiutil.WatchEventMessage_PeerEvent{Type: apiutil.PEER_EVENT_STATE}
	ev.Peer.State.NeighborAddress, ev.Peer.State.SessionState = torA, state
	ev.Peer.State.DisconnectReason, ev.Peer.State.DisconnectMessage = reason, message
	b.update(ev, time.Time{})
}

func TestProgressIsNoError(t *testing.T) {
	b := started()
	for _, step := range []struct {
		state   bgp.FSMState
		reason  api.PeerState_DisconnectReason
		message string
		want    string
	}{
		{bgp.BGP_FSM_ACTIVE, api.PeerState_DISCONNECT_REASON_IDLE_TIMER_EXPIRED, "idle-hold-timer-expired", ""},
		{bgp.BGP_FSM_OPENSENT, api.PeerState_DISCONNECT_REASON_UNSPECIFIED, "new-connection", ""},
		{bgp.BGP_FSM_OPENCONFIRM, api.PeerState_DISCONNECT_REASON_UNSPECIFIED, "open-msg-received", ""},
		{bgp.BGP_FSM_IDLE, api.PeerState_DISCONNECT_REASON_BAD_PEER_AS, "bad-peer-as", "the peer has another ASN than peerASN"},
		{bgp.BGP_FSM_OPENSENT, api.PeerState_DISCONNECT_REASON_UNSPECIFIED, "new-connection", "the peer has another ASN than peerASN"},
	} {
		b.goesTo(step.state, step.reason, step.message)
		if got := b.sessions()[0].LastError; got != step.want {
			t.Errorf("after %q the error is %q, want %q", step.message, got, step.want)
		}
	}
}

func TestBFDHasTimeToComeUp(t *testing.T) {
	b := started()
	b.bfd("tor-a", "Down")
	b.goesTo(bgp.BGP_FSM_ESTABLISHED, api.PeerState_DISCONNECT_REASON_UNSPECIFIED, "open-msg-negotiated")
	since := b.sessions()[0].Since
	for _, step := range []struct {
		name  string
		state string
		after time.Duration
		want  string
	}{
		{"at the start", "Down", 0, ""},
		{"on its way", "Init", bfdGrace - time.Millisecond, ""},
		{"too late", "Init", bfdGrace, "bfd is Init: no routes are announced"},
		{"up in the end", "Up", bfdGrace + time.Second, ""},
		{"down much later", "Down", time.Hour, "bfd is Down: no routes are announced"},
	} {
		b.bfd("tor-a", step.state)
		b.awaitBFD("tor-a", since.Add(step.after))
		if got := b.sessions()[0].LastError; got != step.want {
			t.Errorf("%s: the error is %q, want %q", step.name, got, step.want)
		}
	}
}

func TestWhyASessionBeginsAnew(t *testing.T) {
	b := started()
	b.goesTo(bgp.BGP_FSM_ESTABLISHED, api.PeerState_DISCONNECT_REASON_UNSPECIFIED, "open-msg-negotiated")
	const want = "the session was ended here: its password changed"
	b.forget(torA, "its password changed")
	b.know(torA, Peer{Name: "tor-a"})
	if s := b.sessions()[0]; s.State != Idle || s.LastError != want || s.Flaps != 1 {
		t.Errorf("a session that was established is %+v, want the error %q", s, want)
	}
	b.goesTo(bgp.BGP_FSM_ACTIVE, api.PeerState_DISCONNECT_REASON_IDLE_TIMER_EXPIRED, "idle-hold-timer-expired")
	b.goesTo(bgp.BGP_FSM_IDLE, api.PeerState_DISCONNECT_REASON_DECONFIGURED, "deconfigured")
	logger := newLogBridge(klog.Background(), b.heard).logger()
	logger.Info("sent notification", "Peer", torA, "Code", bgp.BGP_ERROR_CEASE, "Subcode", bgp.BGP_ERROR_SUB_PEER_DECONFIGURED)
	if s := b.sessions()[0]; s.State != Active || s.LastError != want {
		t.Errorf("after the end of the old session the new one is %+v, want the error %q", s, want)
	}
	b.heard(torA, "connection refused")
	b.forget(torA, "its password changed")
	if s := b.sessions()[0]; s.LastError != "" {
		t.Errorf("a session that was not established is %+v", s)
	}
	b.fail("tor-a", "no router has advertised itself")
	b.know(torA, Peer{Name: "tor-a"})
	if s := b.sessions()[0]; s.LastError != "" {
		t.Errorf("with its peer found, the session is %+v", s)
	}
}

func TestLostByBFD(t *testing.T) {
	const sent, received = api.PeerState_DISCONNECT_REASON_NOTIFICATION_SENT, api.PeerState_DISCONNECT_REASON_NOTIFICATION_RECEIVED
	reset := bgp.NewNotificationErrorCode(bgp.BGP_ERROR_CEASE, bgp.BGP_ERROR_SUB_ADMINISTRATIVE_RESET).String()
	down := bgp.NewNotificationErrorCode(bgp.BGP_ERROR_CEASE, subBFDDown).String()
	for _, tt := range []struct {
		reason       api.PeerState_DisconnectReason
		notification string
		want         bool
	}{{sent, reset, true}, {received, reset, false}, {received, down, true}, {sent, down, false}} {
		b := started()
		b.goesTo(bgp.BGP_FSM_ESTABLISHED, api.PeerState_DISCONNECT_REASON_UNSPECIFIED, "open-msg-negotiated")
		b.goesTo(bgp.BGP_FSM_IDLE, tt.reason, tt.notification)
		b.goesTo(bgp.BGP_FSM_ACTIVE, api.PeerState_DISCONNECT_REASON_IDLE_TIMER_EXPIRED, "")
		if s := b.sessions()[0]; s.LostByBFD != tt.want || s.LastError == "" {
			t.Errorf("after %v the session is %+v, want it lost by BFD: %v", tt.reason, s, tt.want)
		}
	}
}
