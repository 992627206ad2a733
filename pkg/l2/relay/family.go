// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// family is the table of one address family.
type family struct {
	name          string
	four          bool
	destination   *expr.Payload // loads the destination address into register 1
	conn          *nftables.Conn
	table         *nftables.Table
	chain         *nftables.Chain
	former, peers *nftables.Set
}

func ipv4() *family {
	return newFamily("ip", nftables.TableFamilyIPv4, nftables.TypeIPAddr, 16)
}

func ipv6() *family {
	return newFamily("ip6", nftables.TableFamilyIPv6, nftables.TypeIP6Addr, 24)
}

// newFamily describes the table; offset is that of the destination address in the packet.
func newFamily(name string, number nftables.TableFamily, address nftables.SetDatatype, offset uint32) *family {
	table := &nftables.Table{Family: number, Name: "fairlead_relay"}
	return &family{
		name: name, four: number == nftables.TableFamilyIPv4, conn: &nftables.Conn{}, table: table,
		destination: &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: address.Bytes},
		former:      &nftables.Set{Table: table, Name: "former", IsMap: true, HasTimeout: true, KeyType: address, DataType: address},
		peers:       &nftables.Set{Table: table, Name: "peers", KeyType: nftables.TypeEtherAddr},
		chain: &nftables.Chain{
			Table: table, Name: "prerouting", Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle,
		},
	}
}

// open makes the table, or takes over one that is there, and returns its entries. A table of another form, of another
// version, is made anew.
func (f *family) open() (map[netip.Addr]netip.Addr, error) {
	if err := f.build(); err != nil {
		f.conn.AddTable(f.table) // else there may be nothing to delete
		f.conn.DelTable(f.table)
		if err := errors.Join(f.conn.Flush(), f.build()); err != nil {
			return nil, err
		}
	}
	elements, err := f.conn.GetSetElements(f.former)
	if err != nil {
		return nil, err
	}
	entries := map[netip.Addr]netip.Addr{}
	for _, e := range elements {
		addr, ok := netip.AddrFromSlice(e.Key)
		via, valid := netip.AddrFromSlice(e.Val)
		if ok && valid {
			entries[addr] = via
		}
	}
	return entries, nil
}

func (f *family) build() error {
	f.conn.AddTable(f.table)
	for _, set := range []*nftables.Set{f.former, f.peers} {
		if err := f.conn.AddSet(set, nil); err != nil {
			return err
		}
	}
	f.conn.AddChain(f.chain)
	f.conn.FlushChain(f.chain)
	f.conn.AddRule(&nftables.Rule{Table: f.table, Chain: f.chain, Exprs: f.rule()})
	return f.conn.Flush()
}

// TCP flags, RFC 9293 section 3.1.
const (
	flagFIN, flagSYN, flagRST, flagACK = 1, 2, 4, 16
	// flagsOffset is that of the byte with the flags in the TCP header.
	flagsOffset = 13
)

// rule reads, as nft writes it:
//
//	meta iiftype ether meta l4proto tcp tcp flags & (fin|syn|rst|ack) != syn ct state new,invalid
//	ether saddr != @peers dup to ip daddr map @former drop
//
// A packet in the midst of a connection that is not known counts as new, or as invalid: by net.netfilter.nf_conntrack_tcp_loose,
// if it ends the connection, or where an earlier connection between the same ports is remembered still. So does one that does
// not fit a connection that is known, which cannot be told apart here.
func (f *family) rule() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFTYPE, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.NativeEndian.AppendUint16(nil, unix.ARPHRD_ETHER)},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		f.destination,
		&expr.Lookup{SourceRegister: 1, DestRegister: 2, IsDestRegSet: true, SetName: f.former.Name, SetID: f.former.ID},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: flagsOffset, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{flagFIN | flagSYN | flagRST | flagACK}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{flagSYN}},
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitNEW | expr.CtStateBitINVALID), Xor: []byte{0, 0, 0, 0},
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{0, 0, 0, 0}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6},
		&expr.Lookup{SourceRegister: 1, SetName: f.peers.Name, SetID: f.peers.ID, Invert: true},
		&expr.Dup{RegAddr: 2},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

// change takes entries out and puts others in, all at once.
func (f *family) change(added, removed []nftables.SetElement) error {
	if len(added)+len(removed) == 0 {
		return nil
	}
	if len(removed) > 0 {
		if err := f.conn.SetDeleteElements(f.former, removed); err != nil {
			return err
		}
	}
	if len(added) > 0 {
		if err := f.conn.SetAddElements(f.former, added); err != nil {
			return err
		}
	}
	return f.conn.Flush()
}

func (f *family) setPeers(peers []net.HardwareAddr) error {
	f.conn.FlushSet(f.peers)
	var elements []nftables.SetElement
	for _, mac := range peers {
		if len(mac) == int(f.peers.KeyType.Bytes) {
			elements = append(elements, nftables.SetElement{Key: mac})
		}
	}
	if len(elements) > 0 {
		if err := f.conn.SetAddElements(f.peers, elements); err != nil {
			return err
		}
	}
	return f.conn.Flush()
}
