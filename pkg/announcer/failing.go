// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/ownership"
)

const (
	// withholdAfter is how long the others have to say that they fail too before this node takes back its route.
	withholdAfter = 500 * time.Millisecond
	// openAfter is how long a health check must fail on every node before the Service is warned of it: the verdicts of the
	// nodes do not change at the same moment.
	openAfter = 5 * time.Second
	// failingInterval between two looks at the addresses that fail here.
	failingInterval = time.Second
)

// failing is what became of an address whose health check fails on this node; zero while it does not.
type failing struct {
	since time.Time
	// open is since when it has been failing everywhere, so that this node announces it all the same.
	open time.Time
	told bool
}

// viewOf gathers what a decision about an address depends on.
func (a *agent) viewOf(ad *address) addressView {
	ad.health = a.probes.condition(ad.addr)
	v := addressView{
		spec: &ad.vip.Spec, programming: a.gates.state(ad.addr), fresh: ad.vip.Status.Node == "", health: ad.health,
	}
	ready, err := a.access.ready(ad.vip)
	switch v.refusing = ready; {
	case err != nil:
		v.unruled = "access control cannot be enforced on this node: " + err.Error()
	case !ready:
		v.unruled = "access control is not in place on this node yet"
	}
	return v
}

// watch has kube-proxy and the Services looked at for an address that this node may announce. Probes wait until kube-proxy
// has programmed the address: before that they would leave for another node, or fail.
func (a *agent) watch(ad *address) {
	spec, d := &ad.vip.Spec, ad.decision
	layer2, checks := d.configured && d.candidate, probed(spec)
	routed := checks && routedBy(spec, a.view)
	if layer2 || routed {
		// Where it is announced already, kube-proxy has had the time, and this node may be asked to take it over. Where this
		// node has claimed it in place of the first candidate, the verdict is all that is waited for.
		soon := layer2 && (spec.Candidates[0] == a.self || ad.vip.Status.Node != "" || ad.claim.held)
		a.gates.watch(ad.addr, ad.vip, soon)
	} else {
		a.gates.forget(ad.addr)
	}
	switch {
	case !checks || !layer2 && !routed:
		a.probes.watch(ad.addr, nil)
	case a.gates.state(ad.addr) == programmed:
		a.probes.watch(ad.addr, probesOf(ad.addr, spec.Services, nodeAddress(a.view.links, a.own, ad.addr)))
	}
}

// unwatch ends all that watch began.
func (a *agent) unwatch(ctx context.Context, ad *address) {
	a.gates.forget(ad.addr)
	a.probes.watch(ad.addr, nil)
	a.tellRoute(ctx, ad, ownership.RouteNone)
	a.routing.withhold(ad.addr, false)
	delete(a.failing, ad.addr)
}

// tellRoute tells the other nodes about this one's part in routing the address.
func (a *agent) tellRoute(ctx context.Context, ad *address, route ownership.Route) {
	if ad.toldRoute != route {
		ad.toldRoute = route
		if route == ownership.RouteNone {
			ad.routes = ownership.RoutesChanged{} // nothing is reported any more, and all anew once it has a part again
		}
		a.step(ctx, ownership.Routed{Addresses: []netip.Addr{ad.addr}, Route: route})
	}
}

func (a *agent) routesChanged(ctx context.Context, act ownership.RoutesChanged) {
	if ad := a.byAddr[act.Address]; ad != nil {
		ad.routes = act
		a.weigh(ctx, ad)
	}
}

// weigh follows an address whose health check fails, or no longer does, and decides whether its route is withheld: where
// another node serves the address, and not before the others have had the time to say that they do not.
func (a *agent) weigh(ctx context.Context, ad *address) {
	fails := ad.health.failure != ""
	switch {
	case !fails:
		ad.failing = failing{}
		delete(a.failing, ad.addr)
	case ad.failing.since.IsZero():
		ad.failing.since = a.now()
		a.failing[ad.addr] = ad
		klog.FromContext(ctx).Info("Health check fails", "address", ad.addr, "virtualIP", ad.name, "reason", ad.health.failure)
		a.later(ctx, withholdAfter, func() { a.weigh(ctx, ad) })
	}
	if ad.claim.announcing && ad.told != ad.health {
		ad.told = ad.health
		a.status.say(ad.name, a.facts(ad), 0)
	}
	if a.vips[ad.name] != ad {
		return
	}
	waited := fails && a.now().Sub(ad.failing.since) >= withholdAfter
	a.routing.withhold(ad.addr, waited && ad.decision.route == ownership.RouteFailing && len(ad.routes.Healthy) > 0)
	a.tellRoutes(ad)
}

// lookAtFailing warns of addresses that fail on every node and are announced all the same.
func (a *agent) lookAtFailing(ctx context.Context) {
	now := a.now()
	if len(a.failing) == 0 || now.Before(a.failingAt) {
		return
	}
	a.failingAt = now.Add(failingInterval)
	for _, addr := range slices.SortedFunc(maps.Keys(a.failing), netip.Addr.Compare) {
		ad := a.failing[addr]
		if !a.failsEverywhere(ad) {
			ad.failing.open, ad.failing.told = time.Time{}, false
			continue
		}
		if ad.failing.open.IsZero() {
			ad.failing.open = now
		}
		if !ad.failing.told && now.Sub(ad.failing.open) >= openAfter {
			ad.failing.told = true
			klog.FromContext(ctx).Info("Health check fails on every node, announcing all the same", "address", addr)
			a.events.failsEverywhere(ad.vip, ad.health.service, failsEverywhereText(a.self, ad))
			a.tellRoutes(ad)
		}
	}
}

// failsEverywhere tells whether this node is the one to say that an address fails on all nodes: it announces the address
// on layer 2, or is the first by name of those that route it.
func (a *agent) failsEverywhere(ad *address) bool {
	if ad.claim.announcing && ad.decision.unhealthy && a.machine.AllUnhealthy(ad.addr) {
		return true
	}
	return ad.decision.route == ownership.RouteFailing && len(ad.routes.Healthy) == 0 && firstOfRouters(a.self, ad.routes)
}

func failsEverywhereText(self string, ad *address) string {
	return fmt.Sprintf("%s is announced although the health check fails on every node that could: a check that is wrong must not take a "+
		"Service down; on node %s: %s", ad.addr, self, ad.health.failure)
}
