// SPDX-License-Identifier: Apache-2.0

package diagnosis

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

// rulesOf returns the rules by which nodes may announce an address.
func (c *Cluster) rulesOf(vip *v1alpha1.VirtualIP) loadbalancer.NodeRules {
	if rules := vip.Spec.NodeRules; rules != nil {
		return loadbalancer.NodeRules{IgnoreExcludeLabel: rules.IgnoreExcludeLabel, LeaveOnCordon: rules.LeaveOnCordon}
	}
	return c.Rules
}

// nodesOf says of every node what it has to do with an address: candidates first, in order.
func (c *Cluster) nodesOf(vip *v1alpha1.VirtualIP) []NodeOfAddress {
	var nodes []NodeOfAddress
	standings := loadbalancer.Standings(&vip.Spec, loadbalancer.Survey{
		Nodes: c.Nodes, Announcers: c.Announcers, Slices: c.Slices, Rules: c.rulesOf(vip),
	})
	served := slices.ContainsFunc(standings, func(standing loadbalancer.Standing) bool {
		return standing.BGP && c.mute(standing.Node) == "" && c.failsOn(vip.Spec.Address, standing.Node) == ""
	})
	for _, standing := range standings {
		node := NodeOfAddress{Node: standing.Node, Place: slices.Index(vip.Spec.Candidates, standing.Node) + 1}
		node.Announces, node.Reason = c.verdict(vip, standing, node.Place, served)
		nodes = append(nodes, node)
	}
	slices.SortStableFunc(nodes, func(a, b NodeOfAddress) int {
		if (a.Place == 0) != (b.Place == 0) {
			return cmp.Compare(b.Place, a.Place)
		}
		return cmp.Or(cmp.Compare(a.Place, b.Place), cmp.Compare(a.Node, b.Node))
	})
	return nodes
}

// verdict says whether a node announces an address, and why or why not. The place is its own among the candidates, and
// served tells whether some node may announce it by BGP and passes the health checks.
func (c *Cluster) verdict(vip *v1alpha1.VirtualIP, standing loadbalancer.Standing, place int, served bool) (announces bool, reason string) {
	if len(vip.Spec.Services) == 0 {
		return false, "no Service uses the address"
	}
	peers, silent := c.sessions(vip, standing, served)
	if vip.Status.Node == standing.Node {
		if gone := c.gone(standing.Node); gone != "" {
			return false, "was the last to announce the address, but " + gone
		}
		return true, strings.Join(append([]string{"announces the address on layer 2"}, peers...), ", ")
	}
	if len(peers) > 0 {
		return true, "announces the address " + strings.Join(peers, ", ")
	}
	if standing.Hindrance != "" && standing.BGP {
		return false, silent
	}
	if standing.Hindrance != "" {
		return false, standing.Hindrance
	}
	if unwell := c.unwell(vip.Spec.Address, standing.Node); unwell != "" {
		return false, unwell
	}
	owner := c.owner(vip)
	switch {
	case place == 0 && owner == "":
		return false, "may announce the address, but is none of its candidates"
	case place == 0:
		return false, "may announce the address, but there are candidates enough"
	case slices.Index(vip.Spec.Candidates, owner) >= place:
		return false, "takes no address back from a node that announces it"
	}
	return false, fmt.Sprintf("takes over as candidate %d of %d", place, len(vip.Spec.Candidates))
}

// sessions returns by which BGP sessions a node announces an address, and if by none, why. What routes a session carries
// its agent does not report, but how many: with none, it does not carry that of the address. A route is withheld for a
// health check only where another node serves the address.
func (c *Cluster) sessions(vip *v1alpha1.VirtualIP, standing loadbalancer.Standing, served bool) (telling []string, silent string) {
	announcer := c.announcer(standing.Node)
	if !standing.BGP || announcer == nil {
		return nil, "does not announce by BGP"
	}
	if why := c.mute(standing.Node); why != "" {
		return nil, why
	}
	if fails := c.failsOn(vip.Spec.Address, standing.Node); served && fails != "" {
		return nil, fails
	}
	var down []string
	for i := range announcer.Status.BGP {
		session := &announcer.Status.BGP[i]
		if !slices.ContainsFunc(vip.Spec.Announce, func(entry v1alpha1.Announcement) bool {
			return entry.BGP != nil && (len(entry.BGP.Peers) == 0 || slices.Contains(entry.BGP.Peers, session.Peer))
		}) {
			continue
		}
		if session.State == sessionUp && session.Prefixes > 0 {
			telling = append(telling, "by BGP to "+session.Peer)
		} else {
			down = append(down, session.Peer+" "+muteness(session))
		}
	}
	if len(down) == 0 {
		return telling, "no BGP session is configured for it"
	}
	return telling, "no BGP session announces it: " + strings.Join(down, ", ")
}

// muteness says what is wrong with a session that announces nothing although it should.
func muteness(session *v1alpha1.BGPSession) string {
	if wrong := wrongWith(session); wrong != "" {
		return wrong
	}
	return "is " + session.State + ", but gets no prefix: see whether kube-proxy on the node answers health checks and forwards the address"
}

// wrongWith says what is wrong with a session as such, and nothing where it is well: it may have nothing to announce.
func wrongWith(session *v1alpha1.BGPSession) string {
	state := "is " + cmp.Or(session.State, "unknown")
	switch {
	case session.State != sessionUp || session.LastError != "":
		return state + because(session.LastError)
	case session.BFD != "" && session.BFD != bfdUp:
		return state + ", but its BFD is " + session.BFD
	}
	return ""
}

// unwell says what keeps a node that may announce an address on layer 2 from it, and nothing where all is well.
func (c *Cluster) unwell(address, node string) string {
	return cmp.Or(c.gone(node), c.failsOn(address, node))
}

// failsOn says which health check of an address fails on a node, and nothing where none does.
func (c *Cluster) failsOn(address, node string) string {
	announcer := c.announcer(node)
	if announcer == nil || announcer.Status.HealthChecks == nil {
		return ""
	}
	for _, failed := range announcer.Status.HealthChecks.Failed {
		if failed.Address == address {
			return strings.TrimSuffix(fmt.Sprintf("the health check of %s fails on the node: %s", failed.Service, failed.Message), ": ")
		}
	}
	return ""
}
