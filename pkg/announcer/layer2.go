// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/l2"
)

// speaker is the part of l2.Speaker that the loop uses. Only Probe waits for the network.
type speaker interface {
	Links() []l2.Link
	Add(announcements ...l2.Announcement) error
	Postpone(addr netip.Addr, by time.Duration)
	Reannounce(addr netip.Addr)
	Remove(addrs ...netip.Addr)
	Probe(ctx context.Context, addr netip.Addr, interfaces []string) (*l2.Conflict, error)
	SetPeers(peers map[l2.MAC]string)
}

// answer has the speaker answer for the address from now on. An interface that cannot be used now is tried again by the
// speaker, so an error is only to be told.
func (a *agent) answer(ctx context.Context, ad *address) {
	err := a.speaker.Add(l2.Announcement{Address: ad.addr, Interfaces: ad.decision.interfaces})
	if err != nil {
		klog.FromContext(ctx).Error(err, "Address cannot be announced on every interface", "address", ad.addr)
	}
}

// station describes who else uses an address.
func station(c *l2.Conflict) string {
	who := "the station " + c.MAC.String()
	if c.Peer != "" {
		who = "node " + c.Peer + " (" + c.MAC.String() + ")"
	}
	if c.Probing {
		return fmt.Sprintf("%s on %s, which is about to take it", who, c.Interface)
	}
	return who + " on " + c.Interface
}

// followLayer2 brings what the speaker reports to the loop, until ctx is done.
func (a *agent) followLayer2(ctx context.Context, changed <-chan struct{}, conflicts <-chan l2.Conflict) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			a.inbox.poke()
			a.linksChanged()
		case c := <-conflicts:
			if c.Peer == "" {
				a.do(ctx, func() { a.contend(ctx, c.Address, station(&c)) })
			} else {
				a.do(ctx, func() { a.meetRival(c.Address, c.Peer, station(&c)) })
			}
		}
	}
}
