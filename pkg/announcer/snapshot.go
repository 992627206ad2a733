// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// providedNodeIP is the annotation with the kubelet's --node-ip.
const providedNodeIP = "alpha.kubernetes.io/provided-node-ip"

// parseAddress accepts what the CRD schema accepts.
func parseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("spec.address %q: not an IP address: %w", s, err)
	}
	return a.Unmap(), nil
}

// voters returns the names that count for a majority, sorted.
func voters(announcers []*v1alpha1.Announcer, now time.Time) []string {
	var out []string
	for _, a := range announcers {
		if !v1alpha1.StoppedForGood(a, now) {
			out = append(out, a.Name)
		}
	}
	slices.Sort(out)
	return out
}

// gossipSeeds returns where the other agents are to be found, by node name. Those that have stopped are among them: they
// may be back before their object says so.
func gossipSeeds(announcers []*v1alpha1.Announcer, self string) map[string]netip.AddrPort {
	out := map[string]netip.AddrPort{}
	for _, a := range announcers {
		if at, err := netip.ParseAddrPort(a.Status.GossipAddress); err == nil && a.Name != self {
			out[a.Name] = at
		}
	}
	return out
}

// nodeAddresses returns the node's own addresses in order of preference: those given to the kubelet, then InternalIP.
func nodeAddresses(node *corev1.Node) []netip.Addr {
	if node == nil {
		return nil
	}
	texts := strings.Split(node.Annotations[providedNodeIP], ",")
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			texts = append(texts, a.Address)
		}
	}
	var out []netip.Addr
	for _, t := range texts {
		if a, err := netip.ParseAddr(strings.TrimSpace(t)); err == nil {
			out = append(out, a.Unmap())
		}
	}
	return out
}
