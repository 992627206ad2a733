// SPDX-License-Identifier: Apache-2.0

// Package bgp announces prefixes to routers by BGP (RFC 4271).
//
// It owns one embedded GoBGP server: sessions, BFD beside them, and what each peer is told. Its caller says what should
// be ([Desired]) as often as it likes; [Speaker.Apply] makes the difference, so that a changed peer costs that peer's
// session and no other, and a changed route costs one UPDATE.
//
// What a peer sends is refused by policy: the package never touches the machine's routing table. There is no listening
// socket unless asked for, so that another speaker on the machine can have port 179.
//
// # How a route finds its peers
//
// All routes that are to be announced alike (same attributes, same peers) form a class. GoBGP's one table holds the
// bare prefixes with a community that is the number of the class; an export policy of one statement per class and peer
// puts the attributes on, takes the number off, and rejects what no statement names.
//
// # BFD
//
// A peer with BFD is told no routes before BFD is up. Its session is opened when BFD is up, or after some seconds
// without: there are routers that start BFD only once the session is established. It then stays empty.
//
// The package must not know Kubernetes, nor why a prefix is to be announced.
package bgp
