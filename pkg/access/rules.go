// SPDX-License-Identifier: Apache-2.0

package access

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// family is what differs between the address families: where in a packet the addresses are, and which set they are in.
type family struct {
	protocol            byte   // as meta nfproto tells it
	services            string // the map from address, protocol and port to the chain of an entry
	address             nftables.SetDatatype
	source, destination uint32 // offsets in the network header
}

func ipv4() family {
	return family{protocol: unix.NFPROTO_IPV4, services: "services4", address: nftables.TypeIPAddr, source: 12, destination: 16}
}

func ipv6() family {
	return family{protocol: unix.NFPROTO_IPV6, services: "services6", address: nftables.TypeIP6Addr, source: 8, destination: 24}
}

func families() []family { return []family{ipv4(), ipv6()} }

func familyOf(addr netip.Addr) family {
	if addr.Is4() {
		return ipv4()
	}
	return ipv6()
}

// ways is the map that the dispatch looks into.
func (f family) ways() *nftables.Set {
	key := nftables.MustConcatSetType(f.address, nftables.TypeInetProto, nftables.TypeInetService)
	return &nftables.Set{Table: theTable(), Name: f.services, IsMap: true, KeyType: key, DataType: nftables.TypeVerdict}
}

// only matches packets of the family: the table has both.
func (f family) only() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{f.protocol}},
	}
}

// load puts an address of the packet into register 1.
func (f family) load(offset uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: f.address.Bytes}
}

// dispatch reads, as nft writes it: ip daddr . meta l4proto . th dport vmap @services4.
//
// The parts of the key are side by side in registers of 4 bytes, from the first on.
func (f family) dispatch() []expr.Any {
	next := unix.NFT_REG32_00 + f.address.Bytes/unix.NFT_REG32_SIZE
	return append(f.only(),
		f.load(f.destination),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: next},
		&expr.Payload{DestRegister: next + 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Lookup{SourceRegister: 1, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetName: f.services},
	)
}

// from matches packets whose source is in a set, or is not: ip saddr @set, ip saddr != @set.
func (f family) from(set string, not bool) []expr.Any {
	return append(f.only(), f.load(f.source), &expr.Lookup{SourceRegister: 1, SetName: set, Invert: not})
}

// entryRules are the rules of an entry in normal form. A packet that meets none of them goes on.
func entryRules(e Entry) [][]expr.Any {
	f := familyOf(e.Address)
	refuse := []expr.Any{
		&expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: counterName(e.Name)},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
	var out [][]expr.Any
	if len(e.Denied) > 0 {
		out = append(out, append(f.from(deniedName(e.Name), false), refuse...))
	}
	switch {
	case e.Limited && len(e.Allowed) > 0:
		out = append(out, append(f.from(allowedName(e.Name), true), refuse...))
	case e.Limited:
		out = append(out, refuse)
	}
	return out
}

// comment is what nft shows beside a rule: the name of the entry, as far as there is room.
func comment(entry string) []byte {
	const most = 127
	return userdata.AppendString(nil, userdata.TypeComment, entry[:min(len(entry), most)])
}

func chainName(entry string) string   { return "entry-" + digest(entry) }
func counterName(entry string) string { return "refused-" + digest(entry) }
func deniedName(entry string) string  { return "denied-" + digest(entry) }
func allowedName(entry string) string { return "allowed-" + digest(entry) }

// digest makes a name that nftables takes out of any other.
func digest(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:10])
}
