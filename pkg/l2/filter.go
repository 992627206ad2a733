// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"fmt"

	"golang.org/x/net/bpf"
)

// lastAddressed is the highest skb packet type that is addressed to this
// machine: PACKET_HOST (0), PACKET_BROADCAST (1), PACKET_MULTICAST (2).
// Above are other stations' frames (promiscuous mode) and our own.
const lastAddressed = 2

// filterFor returns the program that the kernel runs on every frame of the
// family on interface index; what it refuses never wakes this process.
//
// A packet socket on a bond's slave or on the device under a VLAN also gets
// the frames of the upper device, already untagged: only the interface index
// of the frame tells them apart, and without that test a VLAN's questions
// would be answered on its parent.
func filterFor(f family, index int) ([]bpf.RawInstruction, error) {
	match := ndpMatch()
	if f.etherType == arpFamily().etherType {
		match = arpMatch()
	}
	p := program{}
	p.load(bpf.LoadExtension{Num: bpf.ExtType}).refuseUnless(bpf.JumpLessOrEqual, lastAddressed)
	p.load(bpf.LoadExtension{Num: bpf.ExtInterfaceIndex}).refuseUnless(bpf.JumpEqual, uint32(index))
	p = append(p, match...)
	raw, err := bpf.Assemble(append(p, accept()))
	if err != nil {
		return nil, fmt.Errorf("assembling %s filter: %w", f.name, err)
	}
	return raw, nil
}

// arpMatch accepts requests and replies for IPv4 over Ethernet.
func arpMatch() program {
	p := program{}
	p.load(bpf.LoadAbsolute{Off: 14, Size: 4}).refuseUnless(bpf.JumpEqual, 0x0001_0800)
	p.load(bpf.LoadAbsolute{Off: 18, Size: 2}).refuseUnless(bpf.JumpEqual, 0x0604)
	p.load(bpf.LoadAbsolute{Off: 20, Size: 2}).refuseUnless(bpf.JumpGreaterOrEqual, 1)
	p.refuseUnless(bpf.JumpLessOrEqual, 2)
	return p
}

// ndpMatch accepts ICMPv6 neighbour solicitations (135) and advertisements
// (136) with the hop limit of 255 that only stations on the link can send.
func ndpMatch() program {
	p := program{}
	p.load(bpf.LoadAbsolute{Off: 20, Size: 2}).refuseUnless(bpf.JumpEqual, 0x3aff)
	p.load(bpf.LoadAbsolute{Off: 54, Size: 1}).refuseUnless(bpf.JumpGreaterOrEqual, 135)
	p.refuseUnless(bpf.JumpLessOrEqual, 136)
	return p
}

// program is a filter under construction.
type program []bpf.Instruction

func (p *program) load(i bpf.Instruction) *program {
	*p = append(*p, i)
	return p
}

func (p *program) refuseUnless(test bpf.JumpTest, value uint32) {
	*p = append(*p, bpf.JumpIf{Cond: test, Val: value, SkipTrue: 1}, bpf.RetConstant{Val: 0})
}

func accept() bpf.Instruction { return bpf.RetConstant{Val: frameBuffer} }
