// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func TestKilledMemberFails(t *testing.T) {
	nodes := group(t, 5)
	awaitAll(t, nodes, 5)
	nodes[4].kill()
	for _, x := range nodes[:4] {
		x.await(t, Failed, "n5")
	}
	awaitAll(t, nodes[:4], 4)
}

func TestLeavingMemberIsSeenToLeave(t *testing.T) {
	nodes := group(t, 3)
	awaitAll(t, nodes, 3)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := nodes[2].Leave(ctx); err != nil {
		t.Fatal(err)
	}
	nodes[2].kill()
	for _, x := range nodes[:2] {
		x.await(t, Left, "n3")
		until(t, "memberlist drops n3", func() bool { return x.list.NumMembers() == 2 })
		if e, ok := x.find(of(Failed, "n3")); ok {
			t.Errorf("%s: a member that left also failed: %+v", x.name, e)
		}
	}
}

func TestBroadcastReachesEveryMemberOnce(t *testing.T) {
	nodes := group(t, 4)
	awaitAll(t, nodes, 4)
	const count = 200
	for i := range count {
		nodes[0].Broadcast(fmt.Appendf(nil, "claim %d", i))
	}
	nodes[0].Broadcast(make([]byte, 100_000))
	for _, x := range nodes[1:] {
		until(t, x.name+" has all payloads", func() bool { return x.Stats().PayloadsReceived >= count+1 })
	}
	until(t, "gossip is done", func() bool { return nodes[0].Stats().GossipQueued == 0 })
	for _, x := range nodes[1:] {
		until(t, x.name+" has told of all payloads", func() bool { return len(x.payloads()) > count })
		seen := x.payloads()
		for p, n := range seen {
			if n != 1 {
				t.Errorf("%s got a payload of %d bytes %d times", x.name, len(p), n)
			}
		}
		if len(seen) != count+1 {
			t.Errorf("%s got %d different payloads, want %d", x.name, len(seen), count+1)
		}
	}
}

// payloads counts the payloads that a member has told of.
func (x *node) payloads() map[string]int {
	x.mu.Lock()
	defer x.mu.Unlock()
	seen := map[string]int{}
	for _, e := range x.events {
		if e.Kind == Message {
			seen[string(e.Payload)]++
		}
	}
	return seen
}
