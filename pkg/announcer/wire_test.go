// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fairlead-io/fairlead/pkg/membership"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

func yielding(n int) ownership.Message {
	m := ownership.Message{
		From: "worker-07.example.internal", Incarnation: 1790000000000000000, Seq: 77,
		Settled: true, Draining: true, Check: true, Digest: 1 << 63,
	}
	for i := range n {
		m.Entries = append(m.Entries, ownership.Entry{
			Address: netip.MustParseAddr(fmt.Sprintf("fd00:10::%x", i+1)), Term: 300, Phase: ownership.PhaseYielding,
			Gate: ownership.GateUnhealthy, Order: 3, Successor: fmt.Sprintf("worker-%02d.example.internal", i%3),
		})
	}
	return m
}

func TestMessagesSurviveTheWire(t *testing.T) {
	for _, tc := range []struct {
		name string
		m    ownership.Message
	}{
		{"bare", ownership.Message{From: "n1", Incarnation: 1, Seq: 1}},
		{"pull", ownership.Message{From: "n1", Incarnation: 1, Seq: 2, Pull: true, Full: true}},
		{"IPv4 claim", ownership.Message{From: "n1", Incarnation: 1, Seq: 3, Settled: true, Entries: []ownership.Entry{
			{Address: netip.MustParseAddr("10.0.0.100"), Term: 1, Phase: ownership.PhaseHolding},
			{Address: netip.MustParseAddr("10.0.0.101"), Term: 1, Phase: ownership.PhaseHolding, Silent: true},
		}}},
		{"route of an address announced by BGP", ownership.Message{From: "n1", Incarnation: 1, Seq: 4, Entries: []ownership.Entry{
			{Address: netip.MustParseAddr("fd00::1"), Route: ownership.RouteFailing},
			{Address: netip.MustParseAddr("fd00::2"), Route: ownership.RouteHealthy, Gate: ownership.GateUnhealthy},
		}}},
		{"handover of both", yielding(5)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := decodeMessage(encodeMessage(tc.m))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.m, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestFullBatchFitsOneDatagram(t *testing.T) {
	m := yielding(machineOptions(Config{}, testTime()).MaxEntries)
	if n := len(encodeMessage(m)); n > membership.MaxFastPayload {
		t.Errorf("%d entries take %d bytes, a datagram has %d", len(m.Entries), n, membership.MaxFastPayload)
	}
}

func TestForeignPayloadsAreRefused(t *testing.T) {
	good := encodeMessage(yielding(2))
	for n := range good {
		if m, err := decodeMessage(good[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were taken for %+v", n, len(good), m)
		}
	}
	other := append([]byte{wireVersion + 1}, good[1:]...)
	if _, err := decodeMessage(other); err == nil {
		t.Error("a payload of another version was accepted")
	}
	if _, err := decodeMessage(append(good, 0)); err == nil {
		t.Error("a payload with a byte too many was accepted")
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add(encodeMessage(yielding(3)))
	f.Add([]byte{wireVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMessage(b)
		if err != nil {
			return
		}
		again, err := decodeMessage(encodeMessage(m))
		if err != nil {
			t.Fatalf("%+v cannot be read back: %v", m, err)
		}
		if d := cmp.Diff(m, again, cmpopts.EquateComparable(netip.Addr{})); d != "" {
			t.Error(d)
		}
	})
}
