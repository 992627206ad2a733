// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"bytes"
	"log"

	"github.com/go-logr/logr"
)

// logWriter passes memberlist's lines on to klog. What memberlist calls an error is mostly a datagram to a dead node,
// so nothing of it is above V(1).
type logWriter struct{ logger logr.Logger }

func newMemberlistLogger(l logr.Logger) *log.Logger {
	return log.New(logWriter{l.WithName("memberlist")}, "", 0)
}

func (w logWriter) Write(line []byte) (int, error) {
	level, msg := parseLogLine(line)
	w.logger.V(level).Info(msg)
	return len(line), nil
}

// parseLogLine splits "[WARN] memberlist: text" into a verbosity and the text.
func parseLogLine(line []byte) (level int, msg string) {
	text := bytes.TrimSpace(line)
	level = 4
	if tag, rest, ok := bytes.Cut(text, []byte("] ")); ok && bytes.HasPrefix(tag, []byte("[")) {
		switch string(tag[1:]) {
		case "ERR", "ERROR":
			level = 1
		case "WARN":
			level = 2
		case "INFO":
			level = 3
		default:
			level = 5
		}
		text = rest
	}
	return level, string(bytes.TrimPrefix(text, []byte("memberlist: ")))
}
