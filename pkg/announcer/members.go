// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/l2"
	"github.com/fairlead-io/fairlead/pkg/membership"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

// countMembers tells the machine who is alive and who votes, if that has changed.
func (a *agent) countMembers(ctx context.Context) {
	alive := []string{}
	for _, m := range a.group.Members() {
		if m.State == membership.StateAlive || m.State == membership.StateSuspect {
			alive = append(alive, m.Name)
		}
	}
	votes := voters(a.objects.announcers(), a.now())
	if a.alive != nil && slices.Equal(alive, a.alive) && slices.Equal(votes, a.voters) {
		return
	}
	a.alive, a.voters = alive, votes
	before := a.machine.Quorate()
	a.step(ctx, ownership.MembersChanged{Alive: slices.Clone(alive), Voters: slices.Clone(votes)})
	if after := a.machine.Quorate(); after != before {
		klog.FromContext(ctx).Info("Majority "+map[bool]string{true: "reached", false: "lost"}[after],
			"members", len(alive)+1, "voters", len(votes))
	}
}

// recount looks now and then whether somebody has been stopped for long enough to vote no more.
func (a *agent) recount(ctx context.Context) {
	if now := a.now(); a.objects.synced() && now.After(a.recountAt) {
		a.recountAt = now.Add(recountInterval)
		a.countMembers(ctx)
	}
}

// recountInterval between two looks.
const recountInterval = 5 * time.Second

// lookAtAnnouncers follows the cluster's Announcer objects: where the others are, who votes, and whose stations they are.
func (a *agent) lookAtAnnouncers(ctx context.Context) {
	all := a.objects.announcers()
	seeds := gossipSeeds(all, a.self)
	if !maps.Equal(seeds, a.seeds) {
		a.seeds = seeds
		a.group.SetSeeds(slices.SortedFunc(maps.Values(seeds), netip.AddrPort.Compare))
	}
	a.nameStations(ctx, stationsOf(all, a.self))
	if a.objects.synced() {
		a.hosts.keep(func(member string) bool { return a.objects.announcer(member) != nil })
		a.countMembers(ctx)
	}
}

// stationsOf returns the hardware addresses of the other nodes.
func stationsOf(announcers []*v1alpha1.Announcer, self string) map[l2.MAC]string {
	out := map[l2.MAC]string{}
	for _, an := range announcers {
		for _, i := range an.Status.Interfaces {
			if mac, err := l2.ParseMAC(i.MAC); err == nil && an.Name != self {
				out[mac] = an.Name
			}
		}
	}
	return out
}

// settle lets the machine claim addresses once this node has met the others that are up, or has waited for them long
// enough. Before the objects are known it has nothing to claim.
func (a *agent) settle(ctx context.Context) {
	if a.settled || !a.objects.synced() || len(a.voters) == 0 {
		return
	}
	if a.settleBy.IsZero() {
		a.settleBy = a.now().Add(settleTimeout)
	}
	if a.now().Before(a.settleBy) && !a.metAll() {
		return
	}
	a.settled = true
	klog.FromContext(ctx).Info("Taking part", "members", len(a.alive)+1, "voters", len(a.voters), "addresses", len(a.vips))
	a.step(ctx, ownership.Settled{})
	a.settleStatus()
}

// metAll tells whether every announcer that has not stopped is a member.
func (a *agent) metAll() bool {
	for _, v := range a.voters {
		if v != a.self && !slices.Contains(a.alive, v) {
			return false
		}
	}
	return true
}

// settleStatus looks, after a while, at the addresses whose status names this node from an earlier run: what it does not
// get again by then is not its any more.
func (a *agent) settleStatus() {
	for _, ad := range a.vips {
		if !ad.claim.held {
			a.status.say(ad.name, a.facts(ad), clearDelay+3*time.Second)
		}
	}
}
