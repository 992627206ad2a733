// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// isError tells whether a change of state has a reason that somebody should read. GoBGP gives none that it has a name for
// when a session makes progress, such as to OpenConfirm, or is to end with the server.
func isError(reason api.PeerState_DisconnectReason) bool {
	return reason != api.PeerState_DISCONNECT_REASON_UNSPECIFIED && reason != api.PeerState_DISCONNECT_REASON_IDLE_TIMER_EXPIRED
}

// overLimitInWords says why a session rests.
func overLimitInWords() string {
	return fmt.Sprintf("the session was ended here: the peer sent more than %d routes of a family; it is tried again after %v",
		maxReceived, limitRest)
}

// endInWords says why a session ended, for the person who reads the status.
func endInWords(reason api.PeerState_DisconnectReason, message string) string {
	if byBFD(reason, message) {
		return "BFD went down"
	}
	switch reason {
	case api.PeerState_DISCONNECT_REASON_NOTIFICATION_RECEIVED, api.PeerState_DISCONNECT_REASON_HARD_RESET:
		return "the peer ended the session: " + notificationInWords(message)
	case api.PeerState_DISCONNECT_REASON_NOTIFICATION_SENT, api.PeerState_DISCONNECT_REASON_INVALID_MSG:
		return "the session was ended here: " + notificationInWords(message)
	case api.PeerState_DISCONNECT_REASON_HOLD_TIMER_EXPIRED:
		return "nothing was heard from the peer for the hold time"
	case api.PeerState_DISCONNECT_REASON_READ_FAILED:
		return "the connection was closed or broke while reading"
	case api.PeerState_DISCONNECT_REASON_WRITE_FAILED:
		return "the connection broke while writing"
	case api.PeerState_DISCONNECT_REASON_GRACEFUL_RESTART:
		return "the connection was closed, as by a peer that restarts"
	case api.PeerState_DISCONNECT_REASON_ADMIN_DOWN:
		return "the session was shut down here"
	case api.PeerState_DISCONNECT_REASON_BAD_PEER_AS:
		return "the peer has another ASN than peerASN"
	default:
		return message
	}
}

// subBFDDown is the subcode of a Cease NOTIFICATION that says that BFD went down (RFC 9384 section 3).
const subBFDDown = 10

// byBFD tells whether a session was ended because BFD went down, whichever end was first to know. Nothing else here sends an
// administrative reset.
func byBFD(reason api.PeerState_DisconnectReason, message string) bool {
	ceased := func(subcode uint8) bool {
		return strings.HasSuffix(message, bgp.NewNotificationErrorCode(bgp.BGP_ERROR_CEASE, subcode).String())
	}
	switch reason {
	case api.PeerState_DISCONNECT_REASON_NOTIFICATION_SENT:
		return ceased(bgp.BGP_ERROR_SUB_ADMINISTRATIVE_RESET)
	case api.PeerState_DISCONNECT_REASON_NOTIFICATION_RECEIVED, api.PeerState_DISCONNECT_REASON_HARD_RESET:
		return ceased(subBFDDown)
	default:
		return false
	}
}

// notificationInWords leaves out the numbers of a NOTIFICATION (RFC 4271 section 4.5), which GoBGP writes beside the
// names: "notification-received code 6(cease) subcode 1(maximum number of prefixes reached)".
func notificationInWords(message string) string {
	parts := regexp.MustCompile(`^(?:notification-\S+ )?code \d+\((.+?)\)(?: subcode \d+\((.+)\))?$`).FindStringSubmatch(message)
	switch {
	case parts == nil:
		return message
	case parts[2] == "" || parts[2] == "undefined":
		return parts[1]
	}
	return parts[1] + ", " + parts[2]
}

// withoutPorts takes the local port out of an error of a connection, which is another one at each attempt.
func withoutPorts(message string) string {
	return regexp.MustCompile(`([0-9a-f\]]):\d+->`).ReplaceAllString(message, "$1->")
}
