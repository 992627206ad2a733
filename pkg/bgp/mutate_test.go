// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// sound returns messages as a good peer sends them, without their headers, by type.
func sound(t testing.TB) map[uint8][][]byte {
	t.Helper()
	must := func(p bgp.PathAttributeInterface, err error) bgp.PathAttributeInterface {
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	nlri := func(s string) bgp.PathNLRI {
		n, err := bgp.NewIPAddrPrefix(netip.MustParsePrefix(s))
		if err != nil {
			t.Fatal(err)
		}
		return bgp.PathNLRI{NLRI: n}
	}
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	attrs := []bgp.PathAttributeInterface{
		bgp.NewPathAttributeOrigin(0),
		bgp.NewPathAttributeAsPath([]bgp.AsPathParamInterface{
			bgp.NewAs4PathParam(bgp.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{64500, 4200000000}),
			bgp.NewAs4PathParam(bgp.BGP_ASPATH_ATTR_TYPE_SET, []uint32{1, 2}),
		}),
		must(bgp.NewPathAttributeNextHop(four)), bgp.NewPathAttributeMultiExitDisc(1), bgp.NewPathAttributeLocalPref(100),
		bgp.NewPathAttributeAtomicAggregate(), must(bgp.NewPathAttributeAggregator(uint32(64500), four)),
		bgp.NewPathAttributeCommunities([]uint32{1, 0xFFFFFF01}),
		bgp.NewPathAttributeLargeCommunities([]*bgp.LargeCommunity{{ASN: 1, LocalData1: 2, LocalData2: 3}}),
		bgp.NewPathAttributeExtendedCommunities([]bgp.ExtendedCommunityInterface{bgp.NewLinkBandwidthExtended(1, 2)}),
		must(bgp.NewPathAttributeOriginatorId(four)), must(bgp.NewPathAttributeClusterList([]netip.Addr{four})),
	}
	reach := must(bgp.NewPathAttributeMpReachNLRI(bgp.RF_IPv6_UC, []bgp.PathNLRI{nlri("2001:db8:1::/48")}, six))
	unreach := must(bgp.NewPathAttributeMpUnreachNLRI(bgp.RF_IPv6_UC, []bgp.PathNLRI{nlri("2001:db8:2::/48")}))
	out := map[uint8][][]byte{bgp.BGP_MSG_KEEPALIVE: {{}}}
	for _, m := range []*bgp.BGPMessage{
		bgp.NewBGPUpdateMessage([]bgp.PathNLRI{nlri("198.51.100.0/24")}, attrs, []bgp.PathNLRI{nlri("203.0.113.0/24"), nlri("0.0.0.0/0")}),
		bgp.NewBGPUpdateMessage(nil, append(attrs, reach, unreach), nil),
		bgp.NewBGPUpdateMessage([]bgp.PathNLRI{nlri("203.0.113.0/24")}, nil, nil),
		bgp.NewEndOfRib(bgp.RF_IPv4_UC), bgp.NewEndOfRib(bgp.RF_IPv6_UC),
		bgp.NewBGPRouteRefreshMessage(bgp.AFI_IP, 0, bgp.SAFI_UNICAST),
		bgp.NewBGPRouteRefreshMessage(bgp.AFI_IP6, 1, bgp.SAFI_UNICAST),
		bgp.NewBGPNotificationMessage(bgp.BGP_ERROR_CEASE, bgp.BGP_ERROR_SUB_ADMINISTRATIVE_RESET, []byte("\x05hello")),
		(&rawPeer{at: netip.MustParseAddrPort("127.0.1.1:1")}).open(),
	} {
		b, err := m.Serialize()
		if err != nil {
			t.Fatal(err)
		}
		out[m.Header.Type] = append(out[m.Header.Type], b[bgp.BGP_HEADER_LENGTH:])
	}
	return out
}

// mutator makes messages that are nearly sound. The same seed makes the same ones.
type mutator struct {
	*rand.Rand
	sound map[uint8][][]byte
}

// message returns one message, mostly an UPDATE, mostly with a header that fits.
func (m *mutator) message() []byte {
	kind := uint8(bgp.BGP_MSG_UPDATE)
	switch m.IntN(40) {
	case 0:
		kind = bgp.BGP_MSG_NOTIFICATION
	case 1, 2, 3, 4:
		kind = bgp.BGP_MSG_ROUTE_REFRESH
	case 5:
		kind = bgp.BGP_MSG_OPEN
	case 6:
		kind = bgp.BGP_MSG_KEEPALIVE
	}
	bodies := m.sound[kind]
	body := append([]byte(nil), bodies[m.IntN(len(bodies))]...)
	if kind == bgp.BGP_MSG_UPDATE && m.IntN(2) == 0 {
		body = m.update()
	}
	for range m.IntN(3) {
		body = m.damage(body)
	}
	b := frame(kind, body)
	if m.IntN(60) == 0 {
		b[m.IntN(bgp.BGP_HEADER_LENGTH)] = byte(m.Uint32())
	}
	return b
}

// update returns an UPDATE of attributes whose lengths fit and whose contents are anything.
func (m *mutator) update() []byte {
	var attrs []byte
	for range 1 + m.IntN(6) {
		flags := []byte{0x40, 0x80, 0xC0, 0xE0, 0x50, 0x90, 0xD0, byte(m.Uint32())}[m.IntN(8)]
		kind := byte(1 + m.IntN(42))
		if m.IntN(20) == 0 {
			kind = byte(m.Uint32())
		}
		value := m.bytes(m.IntN(40))
		if kind == byte(bgp.BGP_ATTR_TYPE_MP_REACH_NLRI) || kind == byte(bgp.BGP_ATTR_TYPE_MP_UNREACH_NLRI) {
			afi := []uint16{1, 2, 25, 16388, 16397, 16398, uint16(m.Uint32())}[m.IntN(7)]
			safi := []byte{1, 2, 4, 5, 65, 66, 70, 71, 72, 73, 80, 85, 128, 132, 133, 134, 241}[m.IntN(17)]
			value = append(append(binary.BigEndian.AppendUint16(nil, afi), safi), value...)
		}
		attrs = append(attrs, flags, kind)
		if flags&0x10 != 0 {
			attrs = append(attrs, 0)
		}
		attrs = append(append(attrs, byte(len(value))), value...)
	}
	body := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(attrs)))
	return append(append(body, attrs...), m.bytes(m.IntN(8))...)
}

func (m *mutator) bytes(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(m.Uint32())
	}
	return out
}

// damage changes a body in one way.
func (m *mutator) damage(body []byte) []byte {
	if len(body) == 0 {
		return m.bytes(m.IntN(20))
	}
	at := m.IntN(len(body))
	switch m.IntN(7) {
	case 0:
		body[at] ^= 1 << m.IntN(8)
	case 1:
		body[at] = []byte{0, 1, 0x7F, 0x80, 0xFF}[m.IntN(5)]
	case 2: // cut off
		body = body[:at]
	case 3: // longer
		body = append(body, m.bytes(m.IntN(40))...)
	case 4: // something between
		body = append(append(append([]byte(nil), body[:at]...), m.bytes(1+m.IntN(6))...), body[at:]...)
	case 5: // something missing
		body = append(body[:at:at], body[min(at+1+m.IntN(6), len(body)):]...)
	case 6: // a part twice
		end := min(at+1+m.IntN(30), len(body))
		body = append(body, body[at:end]...)
	}
	return body[:min(len(body), 4000)]
}
