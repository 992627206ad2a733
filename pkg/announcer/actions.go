// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

// claim is this node's hold on an address.
type claim struct {
	held       bool // by the machine
	announcing bool // the speaker answers for it
	clear      bool // no other station has the address, and only kube-proxy is waited for
	term       uint64
	since      time.Time
	stopProbe  context.CancelFunc // not nil while the address is being probed
	why        string             // it was withdrawn
	before     string             // the owner before, as far as known

	// station is another one that uses the address. Found before this node announced it: then the address stays held and
	// silent, so that no other node announces it either. Or it claims the address beside this node, and last did at seen.
	station string
	seen    time.Time
}

// step lets the machine take in an event, and does what it wants done.
func (a *agent) step(ctx context.Context, event ownership.Event) {
	a.perform(ctx, a.machine.Step(event, a.now()))
}

// perform does what the machine wants done.
func (a *agent) perform(ctx context.Context, actions []ownership.Action) {
	a.forgetFlows(actions)
	a.keepConnections(ctx, actions)
	for _, action := range actions {
		switch act := action.(type) {
		case ownership.Gossip:
			a.group.Broadcast(encodeMessage(act.Message))
		case ownership.Send:
			a.sender.send(act.To, encodeMessage(act.Message))
		case ownership.Announce:
			a.announce(ctx, act)
		case ownership.Offered:
			a.speaker.Postpone(act.Address, act.For)
		case ownership.Reannounce:
			a.speaker.Reannounce(act.Address)
		case ownership.Withdraw:
			a.withdraw(ctx, act)
		case ownership.OwnerChanged:
			a.ownerChanged(ctx, act)
		case ownership.RoutesChanged:
			a.routesChanged(ctx, act)
		}
	}
}

// announce begins to answer for an address; one that is new to the cluster is first searched for on the network.
func (a *agent) announce(ctx context.Context, act ownership.Announce) {
	ad := a.byAddr[act.Address]
	if ad == nil {
		return // configured no more: the machine is about to hear of it
	}
	a.metrics.takeovers.WithLabelValues(string(act.Cause)).Inc()
	ad.claim.held, ad.claim.term, ad.claim.why, ad.claim.before = true, act.Term, "", formerOwner(act, ad)
	a.watch(ad)
	if ad.decision.probe && mustProbe(ad.vip, act.Cause) {
		a.probe(ctx, ad)
		return
	}
	if act.Cause == ownership.CauseInitial {
		ad.claim.clear = true
		a.speakIfReady(ctx, ad)
		return
	}
	a.speak(ctx, ad, act.Cause)
}

// speakIfReady has the speaker answer for a fresh address once it is known whether kube-proxy forwards it. If it does not,
// the gate tells the machine, which hands the address on to a node that is better off, if there is one.
func (a *agent) speakIfReady(ctx context.Context, ad *address) {
	if ad.claim.held && ad.claim.clear && !ad.claim.announcing && a.gates.state(ad.addr) != programmingUnknown {
		a.speak(ctx, ad, ownership.CauseInitial)
		a.step(ctx, ownership.Announced{Addresses: []netip.Addr{ad.addr}})
	}
}

// mustProbe tells whether to search for another user first: nobody in this cluster has announced the address, in this
// life of its agents or an earlier one, or the last who tried found somebody.
func mustProbe(vip *v1alpha1.VirtualIP, cause ownership.Cause) bool {
	return cause == ownership.CauseInitial && vip.Status.Node == "" ||
		meta.IsStatusConditionTrue(vip.Status.Conditions, v1alpha1.ConditionConflict) && vip.Status.Node == ""
}

// speak has the speaker answer for an address that this node holds.
func (a *agent) speak(ctx context.Context, ad *address, cause ownership.Cause) {
	ad.claim.announcing, ad.claim.since = true, a.now()
	ad.claim.station, ad.rival = "", ""
	a.announcing++
	a.metrics.owner.WithLabelValues(ad.addr.String()).Set(1)
	a.answer(ctx, ad)
	level := 0
	if cause == ownership.CauseInitial {
		level = 2
	}
	klog.FromContext(ctx).V(level).Info("Announcing address", "address", ad.addr, "virtualIP", ad.name,
		"cause", cause, "previousNode", ad.claim.before, "term", ad.claim.term)
	a.status.say(ad.name, a.facts(ad), 0)
	if ad.decision.fallback {
		a.events.fallback(ad.vip, fallbackText(a.self, ad))
	}
	if cause != ownership.CauseInitial {
		a.forgetLate(ad)
		a.events.takeover(ad.vip, takeoverText(a.self, ad, cause))
	}
}

func takeoverText(self string, ad *address, cause ownership.Cause) string {
	text := fmt.Sprintf("node %s announces %s", self, ad.addr)
	switch {
	case ad.claim.before == "" || ad.claim.before == self:
		return text
	case cause == ownership.CauseTakeover:
		return fmt.Sprintf("%s (takeover: %s failed or let it go)", text, ad.claim.before)
	default:
		return fmt.Sprintf("%s (handover from %s)", text, ad.claim.before)
	}
}

func fallbackText(self string, ad *address) string {
	return fmt.Sprintf("no interface of node %s has a subnet with %s: it is announced on the one with the default route, where neighbours "+
		"find it only if their own configuration puts it on the link; name the interfaces in the pool's spec.announce[].l2.interfaces, or "+
		"choose another pool", self, ad.addr)
}

// withdraw stops answering for an address.
func (a *agent) withdraw(ctx context.Context, act ownership.Withdraw) {
	a.metrics.withdrawals.WithLabelValues(string(act.Cause)).Inc()
	a.speaker.Remove(act.Address)
	ad := a.byAddr[act.Address]
	if ad == nil {
		return
	}
	if ad.claim.announcing {
		ad.left = a.now()
		a.announcing--
		a.metrics.owner.DeleteLabelValues(ad.addr.String())
	}
	if ad.claim.stopProbe != nil {
		ad.claim.stopProbe()
	}
	klog.FromContext(ctx).Info("Withdrew address", "address", ad.addr, "virtualIP", ad.name, "cause", act.Cause, "term", act.Term)
	ad.claim = claim{why: "node " + a.self + " withdrew it: " + causeText(act.Cause, ad.decision.reason)}
	if a.vips[ad.name] != ad {
		return // gone, see dropGone
	}
	a.status.say(ad.name, a.facts(ad), clearDelay)
}

func causeText(c ownership.Cause, reason string) string {
	switch c {
	case ownership.CauseMinority:
		return "it does not see a majority of the announcers"
	case ownership.CauseGate:
		return reason
	case ownership.CauseHandover, ownership.CauseSuperseded:
		return "another node has it"
	case ownership.CauseLeave:
		return "its announcer ends"
	default:
		return string(c)
	}
}

// ownerChanged keeps what the status writer has to know: whether somebody else has the address now.
func (a *agent) ownerChanged(ctx context.Context, act ownership.OwnerChanged) {
	ad := a.byAddr[act.Address]
	if ad == nil || act.Owner == a.self {
		return
	}
	if act.Owner != "" {
		ad.claim.before = act.Owner
	}
	klog.FromContext(ctx).V(3).Info("Owner changed", "address", ad.addr, "owner", act.Owner, "term", act.Term)
	if a.settled && !ad.claim.held && a.vips[ad.name] == ad {
		a.status.say(ad.name, a.facts(ad), clearDelay)
	}
}

// facts is what the status of an address is made of.
func (a *agent) facts(ad *address) vipFacts {
	owner, _ := a.machine.Owner(ad.addr)
	f := vipFacts{
		announcing: ad.claim.announcing, since: ad.claim.since, term: int64(ad.claim.term), epoch: ad.vip.Spec.Epoch,
		owner: owner, why: ad.claim.why, health: ad.health, routed: ad.toldHealth,
	}
	if ad.claim.station != "" {
		f.conflict = conflictText(ad.addr, ad.claim.station, a.self)
	}
	return f
}

func conflictText(addr netip.Addr, by, self string) string {
	return fmt.Sprintf("%s is used by %s, seen by node %s", addr, by, self)
}
