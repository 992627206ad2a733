// SPDX-License-Identifier: Apache-2.0

// Package access has the kernel refuse packets to addresses by their source: nftables rules in a table of the package's
// own, inet fairlead.
//
// The table's chain is at the prerouting hook after connection tracking and before any translation of destinations, so
// that it sees the address that the client used. One lookup in a map of (address, protocol, port) leads to the rules of an
// entry; the cost for a packet does not depend on how many entries there are. Packets to other destinations, and packets
// that the machine sends itself, are left alone. Every packet is looked at, not only the first of a connection: a client
// that is refused from now on loses its connections too.
//
// Each change is one transaction of nftables: a packet meets the old rules or the new ones. The rules stay when the
// program ends.
//
// The package must not know where entries come from.
package access
