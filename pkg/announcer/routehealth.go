// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

// maxNamed is how many failing nodes a message names.
const maxNamed = 8

// endDelay spreads over the nodes the removal of what none of them has to tell any more, so that the first does it for all.
const endDelay = 5 * time.Second

// routeHealth is what this node has to tell of the health checks of an address that is announced by BGP alone; the zero
// value says that it has nothing to tell, or nothing new.
type routeHealth struct {
	status  metav1.ConditionStatus
	message string
	// ended: no Service on the address has a health check any more, and the status still speaks of one.
	ended bool
}

// healthOfRoutes decides what to tell. An address on layer 2 has an owner, who tells. Of the nodes that route one, the first
// by name does, so that not all of them write; what it writes is no other than what the next in order would, so that
// nothing is written when it leaves. Single nodes that fail take nothing from the address, since they withdraw, and are
// named; that all fail is told when the Service is warned of it.
func healthOfRoutes(self string, ad *address) routeHealth {
	switch {
	case ad.decision.configured:
		return routeHealth{}
	case !probed(&ad.vip.Spec):
		return routeHealth{ended: meta.FindStatusCondition(ad.vip.Status.Conditions, v1alpha1.ConditionHealthy) != nil}
	case ad.decision.route == ownership.RouteNone || !firstOfRouters(self, ad.routes):
		return routeHealth{}
	}
	failing := slices.Clone(ad.routes.Failing)
	if ad.decision.route == ownership.RouteFailing {
		failing = append(failing, self)
		slices.Sort(failing)
	}
	switch {
	case ad.decision.route == ownership.RouteFailing && len(ad.routes.Healthy) == 0:
		if !ad.failing.told {
			return routeHealth{} // the others have not said yet what they find
		}
		return routeHealth{status: metav1.ConditionFalse, message: "on every node that announces it by BGP; on " + self + ": " + ad.health.failure}
	case len(failing) > 0:
		return routeHealth{status: metav1.ConditionTrue, message: "the health checks pass on nodes that announce it by BGP; they fail on " + named(failing)}
	}
	return routeHealth{status: metav1.ConditionTrue, message: "the health checks pass on the nodes that announce it by BGP"}
}

// firstOfRouters tells whether a node is the first by name of those that route an address.
func firstOfRouters(self string, others ownership.RoutesChanged) bool {
	return !slices.ContainsFunc(slices.Concat(others.Healthy, others.Failing), func(name string) bool { return name < self })
}

func named(nodes []string) string {
	if len(nodes) > maxNamed {
		nodes = append(slices.Clone(nodes[:maxNamed]), "more")
	}
	return strings.Join(nodes, ", ")
}

// tellRoutes has the status say how it stands with the health of an address that is announced by BGP alone.
func (a *agent) tellRoutes(ad *address) {
	now := healthOfRoutes(a.self, ad)
	if now == ad.toldHealth || a.vips[ad.name] != ad {
		return
	}
	ad.toldHealth = now
	delay := time.Duration(0)
	if now.ended {
		delay = rand.N(endDelay)
	}
	a.status.say(ad.name, a.facts(ad), delay)
}

// setHealthyOfRoutes says whether the Services can be reached by way of the nodes that announce an address by BGP.
func setHealthyOfRoutes(s *v1alpha1.VirtualIPStatus, h routeHealth, now time.Time) {
	switch {
	case h.ended:
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionHealthy)
	case h.status == metav1.ConditionFalse:
		setCondition(s, now, v1alpha1.ConditionHealthy, h.status, reasonFails, h.message)
	case h.status == metav1.ConditionTrue:
		setCondition(s, now, v1alpha1.ConditionHealthy, h.status, reasonPasses, h.message)
	}
}
