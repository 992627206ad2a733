// SPDX-License-Identifier: Apache-2.0

// Package announcer is the agent on every node: it reads VirtualIPs, has pkg/l2 and pkg/bgp announce those that this node
// is to announce, has pkg/health probe their Services and pkg/access refuse clients of them, and writes what it does to
// VirtualIP.status and to the node's Announcer object.
//
// # Layer 2
//
// The way of a change: informers and gossip wake one goroutine (the loop, agent.go), which alone owns the machine of
// pkg/ownership; it makes a view of the node and of the address (addresses.go), decides what that means (decide.go, pure),
// lets the machine step and does the actions it returns (actions.go). What has to be asked of the network or the kernel is
// asked beside the loop, which then finds the last answer: whether kube-proxy lives (gate.go) and has programmed an address
// (programming.go), whether the gateway answers (gateway.go), what probes say (probekeeper.go). Writing to the API server
// happens behind the loop (vipwriter.go, reporter.go), coalesced and paced, and is never waited for: announcing goes on
// while the API server is away.
//
// # BGP
//
// A second goroutine (bgp.go) makes what pkg/bgp announces out of the same objects, by a function of its own
// (bgpdesired.go, pure). Every node with a route announces it, so nobody has to be agreed with; what the nodes say of their
// health to each other comes from the loop (routeboard.go).
//
// # Voters
//
// A majority is counted among the nodes that have an Announcer object. The object belongs to its Node (ownerReference),
// so the garbage collector deletes it after the Node; that is how a removed node leaves the voters. An agent that ends on
// request marks its object Ready=False, reason Stopped, and after a minute is not counted until it is back: it holds
// nothing, and removing the agent from half of the nodes must not silence the rest for good.
//
// The package must not parse annotations of Services.
package announcer
