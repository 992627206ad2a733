// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"testing"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

func TestNotificationInWords(t *testing.T) {
	for _, tt := range []struct {
		code, subcode uint8
		want          string
	}{
		{bgp.BGP_ERROR_CEASE, bgp.BGP_ERROR_SUB_MAXIMUM_NUMBER_OF_PREFIXES_REACHED, "the peer ended the session: cease, maximum number of prefixes reached"},
		{bgp.BGP_ERROR_OPEN_MESSAGE_ERROR, bgp.BGP_ERROR_SUB_BAD_PEER_AS, "the peer ended the session: open, bad peer as"},
		{bgp.BGP_ERROR_HOLD_TIMER_EXPIRED, 0, "the peer ended the session: hold timer expired"},
	} {
		message := "notification-received " + bgp.NewNotificationErrorCode(tt.code, tt.subcode).String()
		if got := endInWords(api.PeerState_DISCONNECT_REASON_NOTIFICATION_RECEIVED, message); got != tt.want {
			t.Errorf("%q is %q in words, want %q", message, got, tt.want)
		}
	}
}

func TestEndByBFD(t *testing.T) {
	reset := bgp.NewNotificationErrorCode(bgp.BGP_ERROR_CEASE, bgp.BGP_ERROR_SUB_ADMINISTRATIVE_RESET).String()
	down := bgp.NewNotificationErrorCode(bgp.BGP_ERROR_CEASE, subBFDDown).String()
	for _, tt := range []struct {
		reason  api.PeerState_DisconnectReason
		message string
		want    string
	}{
		{api.PeerState_DISCONNECT_REASON_NOTIFICATION_SENT, "notification-sent " + reset, "BFD went down"},
		{api.PeerState_DISCONNECT_REASON_NOTIFICATION_SENT, reset, "BFD went down"},
		{api.PeerState_DISCONNECT_REASON_NOTIFICATION_RECEIVED, "notification-received " + down, "BFD went down"},
		{
			api.PeerState_DISCONNECT_REASON_NOTIFICATION_RECEIVED, "notification-received " + reset,
			"the peer ended the session: cease, administrative reset",
		},
	} {
		if got := endInWords(tt.reason, tt.message); got != tt.want {
			t.Errorf("%q is %q in words, want %q", tt.message, got, tt.want)
		}
	}
}

func TestWithoutPorts(t *testing.T) {
	for message, want := range map[string]string{
		"read tcp 10.9.1.1:40112->10.9.1.2:179: connection reset by peer": "read tcp 10.9.1.1->10.9.1.2:179: connection reset by peer",
		"read tcp [fd09::1]:40112->[fd09::2]:179: i/o timeout":            "read tcp [fd09::1]->[fd09::2]:179: i/o timeout",
		"dial tcp 10.9.1.2:179: connect: connection refused":              "dial tcp 10.9.1.2:179: connect: connection refused",
	} {
		if got := withoutPorts(message); got != want {
			t.Errorf("%q becomes %q, want %q", message, got, want)
		}
	}
}
