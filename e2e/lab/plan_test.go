// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"net/netip"
	"testing"
)

func TestPlanGivesEveryAddressOnce(t *testing.T) {
	for _, id := range []int{0, 7, maxLabs - 1} {
		p := plan{id: id}
		seen := map[netip.Addr]bool{}
		take := func(addrs [2]netip.Addr) {
			for i, a := range addrs {
				if seen[a] {
					t.Errorf("lab %d: %s is given twice", id, a)
				}
				seen[a] = true
				if r := p.pool()[i]; r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0 {
					t.Errorf("lab %d: host address %s is in the pool %s", id, a, r)
				}
			}
		}
		for offset := 1; offset <= nodeOffset+maxNodes; offset++ {
			take(p.on(offset))
			for i, a := range p.on(offset) {
				if !p.segment()[i].Contains(a) {
					t.Errorf("lab %d: %s is outside of the segment %s", id, a, p.segment()[i])
				}
			}
		}
		take(p.farOn(routerOffset))
		take(p.farOn(farOffset))
		for n := 1; n <= maxNodes; n++ {
			take(p.pod(n, 2))
			take(p.pod(n, 254))
		}
		for i, r := range p.pool() {
			if !p.segment()[i].Contains(r.First) || !p.segment()[i].Contains(r.Last) {
				t.Errorf("lab %d: pool %s is outside of the segment", id, r)
			}
		}
	}
}
