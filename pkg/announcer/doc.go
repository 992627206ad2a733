// SPDX-License-Identifier: Apache-2.0

// Package announcer is the agent on every node: it reads VirtualIPs, decides with pkg/ownership which of them this node
// announces, has pkg/l2 announce them, and writes what it does to VirtualIP.status and to the node's Announcer object.
//
// The way of a change: informers and gossip wake one goroutine (the loop, agent.go), which alone owns the ownership
// machine; it makes a view of the node and of the address (snapshot.go), decides what that means (decide.go, pure), lets
// the machine step and does the actions it returns. Writing to the API server happens behind the loop (vipstatus.go,
// inventory.go), coalesced and paced, and is never waited for: announcing goes on while the API server is away.
//
// # Voters
//
// A majority is counted among the nodes that have an Announcer object. The object belongs to its Node (ownerReference),
// so the garbage collector deletes it after the Node; that is how a removed node leaves the voters. An agent that ends on request marks its object Ready=False, reason Stopped, and after
// a minute is not counted until it is back: it holds nothing, and removing the agent from half of the nodes must not
// silence the rest for good.
//
// The package must not parse annotations of Services.
package announcer
