// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/l2"
	"github.com/fairlead-io/fairlead/pkg/l2/relay"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

// relayer is the part of relay.Relay that the agent uses.
type relayer interface {
	Keep(former map[netip.Addr]netip.Addr) error
	Forget(addrs ...netip.Addr) error
	ForgetVia(via netip.Addr, addrs ...netip.Addr) error
	Former() map[netip.Addr]netip.Addr
	SetPeers(peers []net.HardwareAddr) error
}

// openRelay makes what keeps connections through a move; nil if that is not wanted, or the kernel cannot.
func openRelay(ctx context.Context, wanted bool) relayer {
	if !wanted {
		return nil
	}
	r, err := relay.Open()
	if err != nil {
		klog.FromContext(ctx).Error(err, "Connections that clients keep open will break when their address moves")
		return nil
	}
	return r
}

// keepConnections has the connections to addresses that this node is about to take over go on through the node that had
// them: what they are translated to is known there. It comes before the announcements, so that no packet of them is
// treated here as if it began a connection. Should that node be dead, relayWatch finds out.
func (a *agent) keepConnections(ctx context.Context, actions []ownership.Action) {
	if a.relay == nil {
		return
	}
	former, forget, handover := a.waysOfConnections(actions)
	if len(former)+len(forget) == 0 {
		return
	}
	kept := a.inRelay(func() { a.changeRelay(ctx, former, forget) })
	if handover {
		<-kept // the owner serves meanwhile
		return
	}
	select {
	case <-kept:
	case <-time.After(takeoverPatience):
	}
}

// waysOfConnections returns by which node the connections to the addresses to be announced are to go on, those of which
// there is none, and whether any of the owners serves its address still.
func (a *agent) waysOfConnections(actions []ownership.Action) (former map[netip.Addr]netip.Addr, forget []netip.Addr, handover bool) {
	former = map[netip.Addr]netip.Addr{}
	for _, action := range actions {
		act, ok := action.(ownership.Announce)
		if !ok {
			continue
		}
		handover = handover || act.Cause == ownership.CauseHandover
		ad := a.byAddr[act.Address]
		if ad == nil || act.Cause == ownership.CauseInitial {
			forget = append(forget, act.Address)
			continue
		}
		before := formerOwner(act, ad)
		if before == "" || before == a.self {
			continue // this node had it last: what it handed on then, it hands on still
		}
		if via := reachedAt(a.objects.announcer(before), a.speaker.Links(), act.Address, ad.decision.interfaces); via.IsValid() {
			former[act.Address] = via
		} else {
			forget = append(forget, act.Address)
		}
	}
	return former, forget, handover
}

// takeoverPatience is how long an address that nobody serves is not announced for the sake of connections from before. The
// node that had it is most likely dead, and the kernel may be busy with a change of kube-proxy's for seconds.
const takeoverPatience = 20 * time.Millisecond

// inRelay has f change the relay, after all that was to change it before. The channel is closed when it has.
func (a *agent) inRelay(f func()) <-chan struct{} {
	before, done := a.relayChanged, make(chan struct{})
	a.relayChanged = done
	a.tasks.Go(func() {
		defer close(done)
		if before != nil {
			<-before
		}
		f()
	})
	return done
}

func (a *agent) changeRelay(ctx context.Context, former map[netip.Addr]netip.Addr, forget []netip.Addr) {
	if err := a.relay.Keep(former); err != nil {
		klog.FromContext(ctx).Error(err, "Connections from before a move will break", "addresses", len(former))
	}
	if err := a.relay.Forget(forget...); err != nil {
		klog.FromContext(ctx).Error(err, "Connections of the past are handed on still", "addresses", len(forget))
	}
	if len(former) > 0 {
		a.relayWatch.hurry()
	}
}

// formerOwner returns the node that an address is taken over from, as far as known.
func formerOwner(act ownership.Announce, ad *address) string {
	if act.From != "" {
		return act.From
	}
	return ad.claim.before
}

// reachedAt returns the address, of the family of addr, that another node has on a segment of this one; not valid if there
// is none. It is one where addr is announced, if the node has any there: what came in by another segment the node might take
// for forged (reverse path filtering).
func reachedAt(other *v1alpha1.Announcer, links []l2.Link, addr netip.Addr, interfaces []string) netip.Addr {
	if other == nil {
		return netip.Addr{}
	}
	own := addressesOf(other, addr.Is4())
	usable := slices.DeleteFunc(slices.Clone(links), func(l l2.Link) bool { return !l.Usable() })
	for _, segments := range [][]l2.Link{l2.Choose(links, addr, interfaces).Links, usable} {
		for _, o := range own {
			if slices.ContainsFunc(segments, func(l l2.Link) bool { return onSubnetOf(l, o) }) {
				return o
			}
		}
	}
	return netip.Addr{}
}

// addressesOf returns the node's own addresses of the family, the one that gossip reaches it at first. Another without a
// subnet floats: it may be another node's tomorrow.
func addressesOf(node *v1alpha1.Announcer, four bool) []netip.Addr {
	gossip, _ := netip.ParseAddrPort(node.Status.GossipAddress)
	var own []netip.Addr
	for _, i := range node.Status.Interfaces {
		for _, text := range i.Addresses {
			p, err := netip.ParsePrefix(text)
			switch {
			case err != nil || p.Addr().Is4() != four || !i.Up || i.MAC == "":
			case p.Addr() == gossip.Addr():
				own = slices.Insert(own, 0, p.Addr())
			case !p.IsSingleIP():
				own = append(own, p.Addr())
			}
		}
	}
	return own
}

func onSubnetOf(l l2.Link, addr netip.Addr) bool {
	return slices.ContainsFunc(l.Addresses, func(own netip.Prefix) bool {
		return !own.IsSingleIP() && own.Contains(addr) && own.Addr() != addr
	})
}

// nameStations tells layer 2 and the relay whose stations the other nodes are.
func (a *agent) nameStations(ctx context.Context, stations map[l2.MAC]string) {
	a.speaker.SetPeers(stations)
	if a.relay == nil {
		return
	}
	var macs []net.HardwareAddr
	for mac := range stations {
		macs = append(macs, net.HardwareAddr(mac[:]))
	}
	slices.SortFunc(macs, func(a, b net.HardwareAddr) int { return bytes.Compare(a, b) })
	a.inRelay(func() {
		if err := a.relay.SetPeers(macs); err != nil {
			klog.FromContext(ctx).Error(err, "Packets may be handed on more than once", "nodes", len(macs))
		}
	})
}
