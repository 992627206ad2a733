// SPDX-License-Identifier: Apache-2.0

package membership

// replayWindow remembers which of the last 1024 sequence numbers of a sender were seen (as RFC 6479 does for IPsec).
// Older ones count as seen. The zero value has seen nothing.
type replayWindow struct {
	top  uint64 // highest number seen
	seen [1024 / 64]uint64
}

// accept reports whether seq is new, and marks it seen.
func (w *replayWindow) accept(seq uint64) bool {
	const size = uint64(len(w.seen)) * 64
	if seq == 0 || seq+size <= w.top {
		return false
	}
	if seq > w.top {
		for s := w.top/64 + 1; s <= seq/64 && s <= w.top/64+uint64(len(w.seen)); s++ {
			w.seen[s%uint64(len(w.seen))] = 0
		}
		w.top = seq
	}
	word, bit := &w.seen[seq/64%uint64(len(w.seen))], uint64(1)<<(seq%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}
