// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"net/netip"
	"reflect"
	"slices"

	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

// address is what the loop knows about one VirtualIP.
type address struct {
	name string
	addr netip.Addr
	vip  *v1alpha1.VirtualIP

	decision decision

	// contested is a station that was found before announcing: the address stays held and silent, so that no other
	// node announces it either.
	contested string
	// rival is a node of the cluster that announces the address too, and that gossip does not reach.
	rival string
	// fought is a station that claims the address while it is announced here.
	fought string

	health  condition
	told    condition // by the status
	failing failing
	// toldRoute is what the machine was last told of the node's part in routing the address.
	toldRoute ownership.Route
	routes    ownership.RoutesChanged // of the other nodes, while this one has a part
	// toldHealth is what this node told of the health of routes.
	toldHealth routeHealth

	claim claim
}

// lookAtObjects takes in what the informers have reported.
func (a *agent) lookAtObjects(ctx context.Context) {
	changed := a.inbox.take()
	nodeChanged := a.lookAtNode(ctx)
	a.lookAtAnnouncers(ctx)
	if len(changed) > 0 {
		a.access.poke()
	}
	var configured []ownership.Address
	var removed []netip.Addr
	for name := range changed {
		ad, vip := a.vips[name], a.objects.virtualIP(name)
		switch {
		case vip == nil && ad != nil:
			removed = append(removed, ad.addr)
			a.drop(ctx, ad)
		case vip != nil:
			if ad = a.note(ctx, vip); ad == nil {
				continue
			}
			a.decideAbout(ctx, ad)
			if ad.decision.configured {
				configured = append(configured, ownership.Address{
					Address: ad.addr, Candidates: vip.Spec.Candidates, Epoch: vip.Spec.Epoch, Term: uint64(max(0, vip.Status.Term)),
				})
			} else {
				removed = append(removed, ad.addr)
			}
			a.status.check(vip)
		}
	}
	if nodeChanged {
		for _, ad := range a.vips {
			a.decideAbout(ctx, ad)
		}
	}
	a.tellGates(ctx)
	if len(removed) > 0 {
		a.step(ctx, ownership.Removed{Addresses: removed})
		a.bury(removed)
	}
	if len(configured) > 0 {
		a.step(ctx, ownership.Configured{Addresses: configured})
	}
}

// note keeps the object; nil means its address cannot be used, which the CRD's schema does not let happen.
func (a *agent) note(ctx context.Context, vip *v1alpha1.VirtualIP) *address {
	ad := a.vips[vip.Name]
	if ad == nil {
		addr, err := parseAddress(vip.Spec.Address)
		if err != nil {
			klog.FromContext(ctx).Error(err, "VirtualIP ignored", "virtualIP", vip.Name)
			return nil
		}
		ad = &address{name: vip.Name, addr: addr}
		if owner, _ := a.machine.Owner(addr); owner != a.self { // gossip may have been faster than the API server
			ad.claim.before = owner
		}
		a.vips[vip.Name], a.byAddr[addr] = ad, ad
	}
	ad.vip = vip
	return ad
}

func (a *agent) drop(ctx context.Context, ad *address) {
	delete(a.vips, ad.name)
	a.unwatch(ctx, ad)
	a.status.forget(ad.name)
	// byAddr keeps it until the machine has withdrawn it.
}

func (a *agent) bury(removed []netip.Addr) {
	for _, addr := range removed {
		if ad := a.byAddr[addr]; ad != nil && a.vips[ad.name] != ad {
			delete(a.byAddr, addr)
		}
	}
}

// lookAtNode follows the Node object, the links and kube-proxy; it reports whether any decision may have changed.
func (a *agent) lookAtNode(ctx context.Context) bool {
	n := a.objects.node()
	if n.draining != a.drain {
		a.drain = n.draining
		klog.FromContext(ctx).Info("Draining of the node changed", "draining", n.draining, "sign", n.drainSign)
		a.step(ctx, ownership.Drain{Active: n.draining})
	}
	view := nodeView{
		name: a.self, labels: n.labels, links: a.speaker.Links(), kubeProxyDead: a.gates.kubeProxyDead(), gatewayLost: a.gatewayLost,
		routers: a.routing.routers(), cordoned: n.cordoned, rules: a.access.changes(),
	}
	if reflect.DeepEqual(view, a.view) {
		return false
	}
	a.view = view
	return true
}

// decideAbout makes the decision anew and acts on what it means for the speaker; gates are told in a batch.
func (a *agent) decideAbout(ctx context.Context, ad *address) {
	old := ad.decision
	ad.decision = decide(a.view, a.viewOf(ad))
	d := ad.decision
	a.watch(ad)
	if d.reason != old.reason && d.reason != "" {
		klog.FromContext(ctx).V(2).Info("Address not fit to be announced here", "address", ad.addr, "reason", d.reason)
	}
	if ad.claim.announcing && !slices.Equal(d.interfaces, old.interfaces) {
		a.answer(ctx, ad)
	}
	if ad.claim.announcing && d.fallback && !old.fallback {
		a.events.fallback(ad.vip, fallbackText(a.self, ad))
	}
	if !a.toldGate(ad) {
		a.gateChanged[ad.addr] = ad
	}
	a.tellRoute(ctx, ad, d.route)
	a.weigh(ctx, ad)
}

// lookedAt decides anew about addresses that kube-proxy was found to have programmed, or not, or whose health checks have
// another verdict.
func (a *agent) lookedAt(ctx context.Context, addrs []netip.Addr) {
	for _, addr := range addrs {
		if ad := a.byAddr[addr]; ad != nil && a.vips[ad.name] == ad {
			a.decideAbout(ctx, ad)
			a.speakIfReady(ctx, ad)
		}
	}
	a.tellGates(ctx)
}

// toldGate tells whether the machine knows all that this node has to say of the address.
func (a *agent) toldGate(ad *address) bool {
	told, known := a.machine.Gate(ad.addr)
	return !ad.decision.gateKnown || known && told == ad.decision.gate
}

// tellGates tells the machine the gates that changed, in one event each.
func (a *agent) tellGates(ctx context.Context) {
	byGate := map[ownership.Gate][]netip.Addr{}
	for addr, ad := range a.gateChanged {
		if !a.toldGate(ad) {
			byGate[ad.decision.gate] = append(byGate[ad.decision.gate], addr)
		}
	}
	clear(a.gateChanged)
	for _, g := range []ownership.Gate{ownership.GateOpen, ownership.GateUnhealthy, ownership.GateClosed} {
		if len(byGate[g]) > 0 {
			a.step(ctx, ownership.Eligible{Addresses: byGate[g], Gate: g})
		}
	}
}
