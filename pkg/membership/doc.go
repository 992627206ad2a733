// SPDX-License-Identifier: Apache-2.0

// Package membership tells which nodes of a group are alive and carries opaque payloads between them.
//
// It owns one memberlist (SWIM gossip, encrypted), which has the last word on who is a member, and beside it a faster
// detector: unicast heartbeats around the ring of sorted member names, over UDP on a port of their own. A member that
// two of its watchers no longer hear is reported [Failed] at once, usually seconds before memberlist would; when
// memberlist or the member itself contradicts, [Recovered] follows. What memberlist says of a death is asked after by
// heartbeat first: gossip is believed at once, and the dead may be alive. Where heartbeats never get through, memberlist's
// own probing is the only detector.
//
// It must not know what payloads mean, nor anything of addresses being announced, nor Kubernetes: node names are
// strings, payloads are bytes.
package membership
