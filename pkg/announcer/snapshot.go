// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// stoppedGrace is how long an agent that was stopped goes on counting: restarting them one after the other changes no
// majority. It is compared with another node's clock, and needs no precision.
const stoppedGrace = time.Minute

// voters returns the names that count for a majority, sorted.
func voters(announcers []*v1alpha1.Announcer, now time.Time) []string {
	var out []string
	for _, a := range announcers {
		if !stopped(a, now) {
			out = append(out, a.Name)
		}
	}
	slices.Sort(out)
	return out
}

func stopped(a *v1alpha1.Announcer, now time.Time) bool {
	c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionReady)
	return c != nil && c.Status == metav1.ConditionFalse && c.Reason == v1alpha1.ReasonStopped &&
		now.Sub(c.LastTransitionTime.Time) >= stoppedGrace
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
