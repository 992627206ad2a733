// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"k8s.io/klog/v2"
)

// logBridge carries what GoBGP logs to the program's logger, two levels down, and picks out the errors of sessions: some
// of them GoBGP tells nowhere else.
type logBridge struct {
	next  slog.Handler
	heard func(at netip.Addr, reason string)
	muted *atomic.Bool
	peer  netip.Addr // of the logger that has one
}

func newLogBridge(logger klog.Logger, heard func(netip.Addr, string)) *logBridge {
	return &logBridge{next: logr.ToSlogHandler(logger.V(2)), heard: heard, muted: &atomic.Bool{}}
}

func (b *logBridge) logger() *slog.Logger { return slog.New(b) }

// level is what GoBGP asks before it logs.
func (b *logBridge) level() *slog.LevelVar {
	v := &slog.LevelVar{}
	v.Set(slog.LevelDebug)
	return v
}

func (b *logBridge) mute() { b.muted.Store(true) }

// Enabled implements slog.Handler. Everything is looked at, for its errors.
func (b *logBridge) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (b *logBridge) Handle(ctx context.Context, r slog.Record) error {
	if b.muted.Load() {
		return nil
	}
	at, reason, transition, code := b.peer, "", false, [2]uint8{}
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "Key", "Peer":
			at = addressOf(a, at)
		case "Error", "Err", "reason":
			reason = a.Value.String()
		case "Code":
			code[0] = uint8(a.Value.Int64())
		case "Subcode":
			code[1] = uint8(a.Value.Int64())
		case "new": // a change of state, which comes as an event too, with its cause
			transition = true
		}
		return true
	})
	switch {
	case code == [2]uint8{bgp.BGP_ERROR_CEASE, bgp.BGP_ERROR_SUB_PEER_DECONFIGURED}: // is known already, and may come when the next session with the address has begun
		reason = ""
	case code[0] != 0:
		reason = endInWords(api.PeerState_DISCONNECT_REASON_NOTIFICATION_SENT, bgp.NewNotificationErrorCode(code[0], code[1]).String())
	}
	if at.IsValid() && reason != "" && !transition {
		b.heard(at, reason)
	}
	if !b.next.Enabled(ctx, r.Level) {
		return nil
	}
	return b.next.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (b *logBridge) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *b
	for _, a := range attrs {
		if a.Key == "Key" {
			c.peer = addressOf(a, c.peer)
		}
	}
	c.next = b.next.WithAttrs(attrs)
	return &c
}

// WithGroup implements slog.Handler.
func (b *logBridge) WithGroup(name string) slog.Handler {
	c := *b
	c.next = b.next.WithGroup(name)
	return &c
}

func addressOf(a slog.Attr, otherwise netip.Addr) netip.Addr {
	if addr, err := netip.ParseAddr(a.Value.String()); err == nil {
		return addr
	}
	return otherwise
}
