// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

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
	// stale: since it was last judged, this node was no candidate, and what it told of its gate says nothing any more.
	stale bool
	// patience is what the machine was last told of it.
	patience time.Duration

	// rival is a node of the cluster that announces the address too, and that gossip does not reach.
	rival string

	health  condition
	told    condition // by the status
	failing failing
	// toldRoute is what the machine was last told of the node's part in routing the address.
	toldRoute ownership.Route
	routes    ownership.RoutesChanged // of the other nodes, while this one has a part
	// toldHealth is what this node told of the health of routes.
	toldHealth routeHealth

	claim claim
	// left is when this node last let the address go, or else its agent started; zero once the kernel has forgotten the UDP
	// flows from before.
	left time.Time
}

// lookAtObjects takes in what the informers have reported.
func (a *agent) lookAtObjects(ctx context.Context) {
	changed := map[string]*v1alpha1.VirtualIP{} // by name; nil where there is none any more
	for name := range a.inbox.take() {
		changed[name] = a.objects.virtualIP(name)
	}
	nodeChanged := a.lookAtNode(ctx)
	a.lookAtAnnouncers(ctx)
	a.access.note(changed)
	a.dropGone(ctx, changed)
	var configured []ownership.Address
	var removed []netip.Addr
	for _, vip := range changed {
		ad := a.note(ctx, vip)
		if ad == nil {
			continue
		}
		a.decideAbout(ctx, ad)
		if spec := &ad.vip.Spec; ad.decision.configured {
			configured = append(configured, ownership.Address{
				Address: ad.addr, Candidates: spec.Candidates, Epoch: spec.Epoch, Term: uint64(max(0, ad.vip.Status.Term)),
			})
		} else {
			removed = append(removed, ad.addr)
		}
		a.status.check(ad.vip)
	}
	if nodeChanged {
		for _, ad := range a.vips {
			a.decideAbout(ctx, ad)
		}
	}
	a.tellGates(ctx)
	a.step(ctx, ownership.Removed{Addresses: removed})
	a.step(ctx, ownership.Configured{Addresses: configured})
}

// dropGone lets go of what is no more. An object made anew under the same name is another one: what this node knows of the
// first, its epoch for one, says nothing of the second.
func (a *agent) dropGone(ctx context.Context, changed map[string]*v1alpha1.VirtualIP) {
	var gone []netip.Addr
	for name, vip := range changed {
		ad := a.vips[name]
		if ad == nil || vip != nil && vip.UID == ad.vip.UID {
			continue
		}
		gone = append(gone, ad.addr)
		delete(a.vips, name)
		a.unwatch(ctx, ad)
		a.status.forget(name)
	}
	a.step(ctx, ownership.Removed{Addresses: gone})
	for _, addr := range gone {
		delete(a.byAddr, addr) // not before the machine has withdrawn it
	}
}

// note keeps the object, if there is one; nil also means that its address cannot be used, which the CRD's schema does not
// let happen.
func (a *agent) note(ctx context.Context, vip *v1alpha1.VirtualIP) *address {
	if vip == nil {
		return nil
	}
	ad := a.vips[vip.Name]
	if ad == nil {
		addr, err := parseAddress(vip.Spec.Address)
		if err != nil {
			klog.FromContext(ctx).Error(err, "VirtualIP ignored", "virtualIP", vip.Name)
			return nil
		}
		ad = &address{name: vip.Name, addr: addr, left: a.started}
		if owner, _ := a.machine.Owner(addr); owner != a.self { // gossip may have been faster than the API server
			ad.claim.before = owner
		}
		a.vips[vip.Name], a.byAddr[addr] = ad, ad
	}
	ad.vip = vip
	return ad
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
	ad.stale = !d.gateKnown && (ad.stale || !d.candidate)
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
	switch {
	case ad.decision.gateKnown:
		return known && told == ad.decision.gate && ad.patience == ad.decision.patience
	case ad.stale && !ad.claim.held: // one that holds the address goes on by what it last knew
		return !known
	}
	return true
}

// tellGates tells the machine the gates that changed, in one event each.
func (a *agent) tellGates(ctx context.Context) {
	type statement struct {
		gate     ownership.Gate
		patience time.Duration
	}
	alike := map[statement][]netip.Addr{}
	var unjudged []netip.Addr
	for addr, ad := range a.gateChanged {
		switch {
		case a.toldGate(ad):
		case ad.decision.gateKnown:
			s := statement{ad.decision.gate, ad.decision.patience}
			alike[s], ad.patience = append(alike[s], addr), s.patience
		default:
			unjudged = append(unjudged, addr)
		}
	}
	clear(a.gateChanged)
	if len(unjudged) > 0 {
		a.step(ctx, ownership.Unjudged{Addresses: unjudged})
	}
	for _, s := range slices.SortedFunc(maps.Keys(alike), func(s, o statement) int {
		return cmp.Or(cmp.Compare(s.gate, o.gate), cmp.Compare(s.patience, o.patience))
	}) {
		a.step(ctx, ownership.Eligible{Addresses: alike[s], Gate: s.gate, Patience: s.patience})
	}
}
