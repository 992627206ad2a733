// SPDX-License-Identifier: Apache-2.0

package ownership

import "net/netip"

// Gate says whether a node may announce an address, as far as the node itself
// is concerned.
type Gate uint8

const (
	// GateOpen says that the node can serve the address. It is what a node is
	// taken to mean that has said nothing about an address.
	GateOpen Gate = iota
	// GateUnhealthy says that the node could announce the address, but would serve
	// it badly: a health check fails, kube-proxy is dead or has not programmed it,
	// there is no endpoint, the gateway is lost. Any candidate with an open gate is
	// preferred; where there is none, an unhealthy one announces.
	GateUnhealthy
	// GateClosed says that the node must not announce the address, whatever the
	// others do: no Service uses it, no nodeSelector matches, no link is usable,
	// the rules that refuse clients are not in place.
	GateClosed
)

// Phase is what a node does with an address.
type Phase uint8

const (
	// PhaseNone is that of a node that does not announce the address.
	PhaseNone Phase = iota
	// PhaseHolding is that of a node that announces the address.
	PhaseHolding
	// PhaseYielding is that of a node that announces the address and asks
	// Successor to take it over.
	PhaseYielding
)

// Entry is what one node states about one address.
type Entry struct {
	Address netip.Addr
	// Term of the last claim that this node made; 0 if it never made one.
	Term  uint64
	Phase Phase
	Gate  Gate
	// Silent: the node has not announced the address under that claim, and is (or
	// was) searching for another user of it first, see [Announced].
	Silent bool
	// Order is the index of the node in its own list of candidates when it
	// claimed (at most 255), and decides between equal terms.
	Order uint8
	// Successor is the node asked to take over; only with PhaseYielding.
	Successor string
	// Route is what the node does with the address by way of routers.
	Route Route
}

// Message is what machines tell one another. The shell carries it unchanged and
// hands it to the other machines as [Heard].
type Message struct {
	// From is the node that speaks.
	From string
	// Incarnation is the run of that node, see [Options].Incarnation.
	Incarnation uint64
	// Seq grows with every message of that run; it orders them.
	Seq uint64
	// Settled: the node takes part in ownership (see [Settled]).
	Settled bool
	// Draining: the node wants to give away what it has (see [Drain]).
	Draining bool
	// Pull asks the receiver for a message with Full set.
	Pull bool
	// Full: Entries is everything the sender states; what it does not name, it
	// no longer states.
	Full bool
	// Check: Digest covers everything the sender states as of this message.
	Check bool
	// Digest of all entries of the sender, see Check.
	Digest uint64
	// Entries in order of address.
	Entries []Entry
}

// silent reports whether e states no more than saying nothing does.
func (e Entry) silent() bool {
	return e.Term == 0 && e.Phase == PhaseNone && e.Gate == GateOpen && e.Route == RouteNone
}

// holds reports whether the node that stated e announces the address.
func (e Entry) holds() bool { return e.Phase != PhaseNone }

// beats reports whether the claim e of node prevails over the claim f of other.
// It depends only on what both claims carry, so that every node decides alike.
func (e Entry) beats(node string, f Entry, other string) bool {
	if e.Term != f.Term {
		return e.Term > f.Term
	}
	if e.Order != f.Order {
		return e.Order < f.Order
	}
	return node < other
}

// hash of the entry, to be combined by exclusive or into a digest; 0 if silent.
func (e Entry) hash() uint64 {
	if e.silent() {
		return 0
	}
	const offset, prime = 14695981039346656037, 1099511628211 // FNV-1a, 64 bit
	h := uint64(offset)
	for _, b := range e.Address.As16() {
		h = (h ^ uint64(b)) * prime
	}
	for _, v := range [...]uint64{e.Term, uint64(e.Phase), uint64(e.Gate), uint64(e.Order), uint64(e.Route)} {
		h = (h ^ v) * prime
	}
	if e.Silent {
		h = (h ^ 1) * prime
	}
	for i := range len(e.Successor) {
		h = (h ^ uint64(e.Successor[i])) * prime
	}
	// FNV leaves the high bits of short inputs alike, which an exclusive or of
	// many would cancel; mix them.
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	return h ^ h>>33
}
