// SPDX-License-Identifier: Apache-2.0

package access

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/knftables"
)

const (
	baseChain = "prerouting"
	// priority comes after connection tracking (-200) and before kube-proxy's own filter of load balancer addresses
	// (dstnat-10) and the translation (dstnat).
	priority = knftables.DNATPriority + "-20"
	// services4 and services6 lead from address, protocol and port to the chain of an entry.
	services4, services6 = "services4", "services6"
)

func addDispatch(tx *knftables.Transaction) {
	const key = " . inet_proto . inet_service : verdict"
	tx.Add(&knftables.Map{Name: services4, Type: "ipv4_addr" + key})
	tx.Add(&knftables.Map{Name: services6, Type: "ipv6_addr" + key})
	tx.Add(&knftables.Chain{
		Name: baseChain, Type: knftables.PtrTo(knftables.FilterType), Hook: knftables.PtrTo(knftables.PreroutingHook),
		Priority: new(priority),
	})
	for _, rule := range dispatchRules() {
		tx.Add(&knftables.Rule{Chain: baseChain, Rule: rule})
	}
}

func dispatchRules() []string {
	return []string{
		"ip daddr . meta l4proto . th dport vmap @" + services4,
		"ip6 daddr . meta l4proto . th dport vmap @" + services6,
	}
}

// addEntry adds what an entry has: a counter, a chain with its rules, and the way there from each port.
func addEntry(tx *knftables.Transaction, e Entry) {
	tx.Add(&knftables.Counter{Name: counterName(e.Name)})
	comment := e.Name[:min(len(e.Name), knftables.CommentLengthMax)]
	tx.Add(&knftables.Chain{Name: chainName(e.Name), Comment: &comment})
	addRules(tx, e)
	addPorts(tx, e, Entry{})
}

func addRules(tx *knftables.Transaction, e Entry) {
	for _, rule := range entryRules(e) {
		tx.Add(&knftables.Rule{Chain: chainName(e.Name), Rule: rule})
	}
}

// entryRules are the rules of an entry in normal form. A packet that meets none of them goes on.
func entryRules(e Entry) []string {
	family := "ip"
	if e.Address.Is6() {
		family = "ip6"
	}
	refuse := "counter name " + counterName(e.Name) + " drop"
	var out []string
	if len(e.Denied) > 0 {
		out = append(out, knftables.Concat(family, "saddr", setOf(e.Denied), refuse))
	}
	switch {
	case e.Limited && len(e.Allowed) > 0:
		out = append(out, knftables.Concat(family, "saddr", "!=", setOf(e.Allowed), refuse))
	case e.Limited:
		out = append(out, refuse)
	}
	return out
}

func setOf(prefixes []netip.Prefix) string {
	texts := make([]string, 0, len(prefixes))
	for _, p := range prefixes {
		texts = append(texts, p.String())
	}
	return "{ " + strings.Join(texts, ", ") + " }"
}

// addPorts leads the ports that old does not have to the entry's chain, deletePorts takes away those that next has no
// more.
func addPorts(tx *knftables.Transaction, e, old Entry) {
	for _, p := range e.Ports {
		if old.Address != e.Address || !slices.Contains(old.Ports, p) {
			tx.Add(element(e, p))
		}
	}
}

func deletePorts(tx *knftables.Transaction, e, next Entry) {
	for _, p := range e.Ports {
		if next.Address != e.Address || !slices.Contains(next.Ports, p) {
			tx.Delete(element(e, p))
		}
	}
}

func element(e Entry, p Port) *knftables.Element {
	name := services4
	if e.Address.Is6() {
		name = services6
	}
	return &knftables.Element{
		Map: name, Key: []string{e.Address.String(), string(p.Protocol), strconv.Itoa(int(p.Number))},
		Value: []string{"goto " + chainName(e.Name)},
	}
}

func chainName(entry string) string   { return "entry-" + digest(entry) }
func counterName(entry string) string { return "refused-" + digest(entry) }

// digest makes a name that nftables takes out of any other.
func digest(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:10])
}
