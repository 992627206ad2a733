// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// layer2 returns the benchmarks of layer 2: each fault and each planned move with 3 and with 9 nodes, on an idle and on a
// loaded machine.
func layer2() []benchmark {
	var all []benchmark
	for _, nodes := range []int{3, 9} {
		segment := need{nodes: nodes, backends: true}
		for _, p := range []pressure{idle, loaded} {
			add := func(name, about string, run measure) {
				all = append(all, benchmark{name: name + suffix(nodes, p), about: about + state(nodes, p), lab: segment, run: run})
			}
			add("l2_failover", "node crash: longest time without an answer", failover(p))
			add("l2_recovery", "node crash: time until no request fails", recovery(p))
			for _, m := range moves() {
				add(m.name, m.about+": requests that failed", handover(m, p))
			}
			if nodes == 3 {
				add("l2_endpoint_moves", "only endpoint of a Local Service moves: time until the new one answers", endpointMoves(p))
			}
		}
		all = append(all, benchmark{
			name: "l2_false_takeover" + suffix(nodes, idle), about: "takeovers nobody asked for" + state(nodes, loaded),
			lab: segment, run: falseTakeover, onRequest: nodes > 3,
		})
	}
	reference := need{nodes: 3, backends: true, bare: true}
	return append(all,
		benchmark{name: "l2_keepalived_1s", about: "reference: keepalived with adverts each second", lab: reference, run: keepalived("1")},
		benchmark{name: "l2_keepalived_100ms", about: "reference: keepalived with adverts each 100 ms", lab: reference, run: keepalived("0.1")},
		benchmark{name: "health_probes", about: "2,000 targets probed each 2 s on one node: CPU, when probes start", lab: need{nodes: 1, bare: true}, run: healthProbes},
		benchmark{name: "l2_arp", about: "10,000 addresses on one node: ARP replies, CPU, memory", lab: need{nodes: 1, bare: true}, run: manyAddresses},
	)
}

func suffix(nodes int, p pressure) string {
	var s strings.Builder
	if nodes != 3 {
		fmt.Fprintf(&s, "_%d", nodes)
	}
	if p == loaded {
		s.WriteString("_loaded")
	}
	return s.String()
}

func state(nodes int, p pressure) string {
	if p == loaded {
		return fmt.Sprintf(" (%d nodes, all cores loaded)", nodes)
	}
	return fmt.Sprintf(" (%d nodes)", nodes)
}
