// SPDX-License-Identifier: Apache-2.0

// Package ownership decides which node announces a layer 2 address now.
//
// Every announcer runs one [Machine] for all addresses. The machine is a pure
// state machine: it takes events (configuration, membership, the words of the
// other machines, local health) together with the local time and returns
// actions (announce, withdraw, gossip). It owns the rules of ownership and
// nothing else: it must not know sockets, clocks, locks or API clients, and it
// never starts a goroutine.
//
// # Rules
//
// A claim carries a term, a counter that grows by one with each change of owner
// of the address, also where all machines have been started anew since the last
// one ([Address].Term). Times never travel between nodes, so their clocks may differ.
//
//   - An owner that is alive keeps its address, also when an earlier candidate
//     returns.
//   - When no live node holds an address, the first candidate that is alive and
//     healthy claims it at once, with the highest term seen plus one. Each later
//     candidate waits one stagger longer, so that a first candidate that cannot
//     (it has not heard of the address yet) does not leave it without an owner.
//   - Of two claims that meet, the one with the higher term stands; then the one
//     whose holder was earlier in its own list of candidates; then the name.
//     All three travel with the claim, so both sides decide alike even while
//     they have different lists of candidates.
//   - A node outside a majority of the voters holds nothing.
//   - A node claims nothing before it has heard, from each member it sees, what
//     that member holds, or has waited [Options].SyncTimeout for it.
//   - An owner that is unhealthy, draining or no longer a candidate asks a better
//     candidate by name to take over, and withdraws on hearing that it has.
//   - Where all candidates are unhealthy, all count as healthy. An owner may be
//     patient, see [Eligible]: what befalls all nodes then moves nothing.
//
// For addresses that routers spread over several nodes there is no owner. The
// machine only carries what the nodes say of them, see [Route].
//
// # Repair of lost gossip
//
// Messages may be lost, delayed, doubled and reordered. Each carries a run
// number and a sequence number of its sender; the last of a batch also carries a
// digest of all that the sender states. A receiver whose record of the sender
// has another digest asks it for everything ([Send] with [Message].Pull). At rest
// a node sends one message without entries each [Options].RefreshInterval.
package ownership
