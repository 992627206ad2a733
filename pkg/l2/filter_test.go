// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"testing"

	"golang.org/x/net/bpf"
)

// passes runs the kernel's filter of interface 7 on a frame of that packet type that came by the interface.
func passes(t *testing.T, f family, packetType, index uint32, frame []byte) bool {
	t.Helper()
	raw, err := filterFor(f, 7)
	must(t, err)
	program, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatalf("filter %v cannot be read", raw)
	}
	for i, instruction := range program { // what the kernel knows beside the frame
		switch instruction {
		case bpf.LoadExtension{Num: bpf.ExtType}:
			program[i] = bpf.LoadConstant{Val: packetType}
		case bpf.LoadExtension{Num: bpf.ExtInterfaceIndex}:
			program[i] = bpf.LoadConstant{Val: index}
		}
	}
	vm, err := bpf.NewVM(program)
	must(t, err)
	kept, err := vm.Run(frame)
	must(t, err)
	return kept > 0
}

// TestFilterPassesQuestionsOnly: whatever it lets through wakes this process.
func TestFilterPassesQuestionsOnly(t *testing.T) {
	const (
		broadcast, outgoing = 1, 4 // packet types
		arp                 = "ffffffffffff 020000000001 0806 "
		ip6                 = "333300000001 020000000001 86dd 60000000 0020 "
		addresses           = " fe800000000000000000000000000001 ff020000000000000000000000000001 "
		body                = "0000 00000000 fd090000000000000000000000000100"
	)
	for _, c := range []struct {
		name       string
		family     family
		packetType uint32
		index      uint32
		frame      string
		want       bool
	}{
		{"request", arpFamily(), broadcast, 7, arp + "0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000064", true},
		{"reply", arpFamily(), broadcast, 7, arp + "0001 0800 06 04 0002 020000000001 0a000064 020000000002 0a000001", true},
		{"request on another interface", arpFamily(), broadcast, 8, arp + "0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000064", false},
		{"request of our own", arpFamily(), outgoing, 7, arp + "0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000064", false},
		{"reverse request", arpFamily(), broadcast, 7, arp + "0001 0800 06 04 0003 020000000001 0a000001 000000000000 0a000064", false},
		{"operation 0", arpFamily(), broadcast, 7, arp + "0001 0800 06 04 0000 020000000001 0a000001 000000000000 0a000064", false},
		{"request not for IPv4", arpFamily(), broadcast, 7, arp + "0001 86dd 06 04 0001 020000000001 0a000001 000000000000 0a000064", false},
		{"request with other lengths", arpFamily(), broadcast, 7, arp + "0001 0800 06 10 0001 020000000001 0a000001 000000000000 0a000064", false},
		{"solicitation", ndpFamily(), broadcast, 7, ip6 + "3a ff" + addresses + "87 00 " + body, true},
		{"advertisement", ndpFamily(), broadcast, 7, ip6 + "3a ff" + addresses + "88 00 " + body, true},
		{"solicitation on another interface", ndpFamily(), broadcast, 8, ip6 + "3a ff" + addresses + "87 00 " + body, false},
		{"solicitation from beyond a router", ndpFamily(), broadcast, 7, ip6 + "3a fe" + addresses + "87 00 " + body, false},
		{"router advertisement", ndpFamily(), broadcast, 7, ip6 + "3a ff" + addresses + "86 00 " + body, false},
		{"redirect", ndpFamily(), broadcast, 7, ip6 + "3a ff" + addresses + "89 00 " + body, false},
		{"echo request", ndpFamily(), broadcast, 7, ip6 + "3a ff" + addresses + "80 00 " + body, false},
		{"UDP", ndpFamily(), broadcast, 7, ip6 + "11 ff" + addresses + "87 00 " + body, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := passes(t, c.family, c.packetType, c.index, unhex(t, c.frame)); got != c.want {
				t.Errorf("passes: %v, want %v", got, c.want)
			}
		})
	}
}
