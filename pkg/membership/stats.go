// SPDX-License-Identifier: Apache-2.0

package membership

import "sync/atomic"

// Stats are counters since Join, for metrics.
type Stats struct {
	// HeartbeatsSent and HeartbeatsReceived count datagrams of the fast detector, of every kind.
	HeartbeatsSent, HeartbeatsReceived uint64
	// HeartbeatMembers is the number of members whose heartbeats are known to come through; the others are watched by
	// memberlist alone.
	HeartbeatMembers int
	// HeartbeatsMalformed could not be authenticated or parsed; HeartbeatsReplayed were authentic but not new.
	HeartbeatsMalformed, HeartbeatsReplayed uint64
	// AccusationsSent counts members accused by this node, also when others contradicted.
	AccusationsSent uint64
	// FailedByHeartbeat and FailedByGossip count Failed events by cause.
	FailedByHeartbeat, FailedByGossip uint64
	// Recovered counts verdicts that were taken back.
	Recovered uint64
	// Stalls counts the times this node was itself too late to judge others.
	Stalls uint64
	// PayloadsSent and PayloadsReceived count Broadcast and Send calls, and payload events; copies count once.
	PayloadsSent, PayloadsReceived uint64
	// PayloadsDropped were lost because Events was not read.
	PayloadsDropped uint64
	// MessagesMalformed counts gossip that was authentic but not of this package's form.
	MessagesMalformed uint64
	// GossipQueued is the number of payloads waiting to be gossiped.
	GossipQueued int
	// HealthScore is memberlist's estimate of this node's own health, 0 is best.
	HealthScore int
}

type counters struct {
	sent, received, badDatagrams, replayed     atomic.Uint64
	accusations, failedHeartbeat, failedGossip atomic.Uint64
	recovered, stalls, payloadsOut, payloadsIn atomic.Uint64
	payloadsDropped, malformed                 atomic.Uint64
}

// Stats returns the counters.
func (m *Membership) Stats() Stats {
	c := &m.stats
	return Stats{
		HeartbeatsSent: c.sent.Load(), HeartbeatsReceived: c.received.Load(),
		HeartbeatsMalformed: c.badDatagrams.Load(), HeartbeatsReplayed: c.replayed.Load(),
		AccusationsSent: c.accusations.Load(), FailedByHeartbeat: c.failedHeartbeat.Load(),
		FailedByGossip: c.failedGossip.Load(), Recovered: c.recovered.Load(), Stalls: c.stalls.Load(),
		PayloadsSent: c.payloadsOut.Load(), PayloadsReceived: c.payloadsIn.Load(),
		PayloadsDropped: c.payloadsDropped.Load(), MessagesMalformed: c.malformed.Load(),
		HeartbeatMembers: int(m.acquainted.Load()),
		GossipQueued:     m.broadcasts.NumQueued(), HealthScore: m.list.GetHealthScore(),
	}
}
