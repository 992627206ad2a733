// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"bytes"
	"slices"

	"github.com/hashicorp/memberlist"
)

// Inputs of the loop that owns the view. They come from memberlist's goroutines.
type (
	nodeListed  struct{ node memberlist.Node } // new, back, or with new metadata
	nodeGone    struct{ name string }
	userMessage struct{ envelope envelope }
)

// delegate receives memberlist's callbacks, often with its locks held: it copies and queues, nothing else.
type delegate struct{ m *Membership }

func copyNode(n *memberlist.Node) memberlist.Node {
	c := *n
	c.Addr, c.Meta = slices.Clone(n.Addr), bytes.Clone(n.Meta)
	return c
}

func (d delegate) NotifyJoin(n *memberlist.Node) { d.m.inbox.push(nodeListed{copyNode(n)}, false) }

func (d delegate) NotifyUpdate(n *memberlist.Node) { d.m.inbox.push(nodeListed{copyNode(n)}, false) }
func (d delegate) NotifyLeave(n *memberlist.Node)  { d.m.inbox.push(nodeGone{n.Name}, false) }

// NodeMeta is called when the node starts and by UpdateNode.
func (d delegate) NodeMeta(int) []byte {
	return meta{boot: d.m.boot, heartbeatPort: d.m.cfg.HeartbeatPort, leaving: d.m.leaving.Load()}.marshal()
}

func (d delegate) NotifyMsg(b []byte) {
	e, err := parseEnvelope(bytes.Clone(b))
	if err != nil {
		d.m.stats.malformed.Add(1)
		return
	}
	if !d.m.inbox.push(userMessage{e}, true) {
		d.m.stats.payloadsDropped.Add(1)
	}
}

func (d delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.m.broadcasts.GetBroadcasts(overhead, limit)
}

// LocalState and MergeRemoteState are memberlist's offer to exchange a state with its own: there is none.
func (delegate) LocalState(bool) []byte { return nil }

func (delegate) MergeRemoteState([]byte, bool) {}
