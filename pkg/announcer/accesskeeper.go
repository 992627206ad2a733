// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/access"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/wake"
)

const (
	// accessInterval is the least time between two changes of the rules; what changes meanwhile is written together.
	accessInterval = 50 * time.Millisecond
	// accessRetry is the time between two attempts, accessCheck that between two looks whether the rules are still there.
	accessRetry, accessCheck = 2 * time.Second, 30 * time.Second
	accessTimeout            = 20 * time.Second
)

// accessKeeper has the kernel refuse clients as the VirtualIPs say. Every node has the rules of all addresses: traffic may
// reach one that does not announce an address, or no longer.
type accessKeeper struct {
	table   *access.Table
	vips    func() []*v1alpha1.VirtualIP
	changed func()
	wake    wake.Signal

	mu      sync.Mutex
	limited map[string]bool      // names of the VirtualIPs where some clients are refused
	known   map[string]types.UID // of those whose rules are or were in place, and of those that have been without any
	failure error
	count   int
}

func newAccessKeeper(vips func() []*v1alpha1.VirtualIP, changed func()) *accessKeeper {
	return &accessKeeper{
		table: access.New(), vips: vips, changed: changed, wake: wake.New(),
		limited: map[string]bool{}, known: map[string]types.UID{},
	}
}

// note takes in VirtualIPs that have changed, by name, nil where there is none any more. The rules are made anew where one
// of them has or had any: of thousands of addresses most have none.
func (k *accessKeeper) note(changed map[string]*v1alpha1.VirtualIP) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, vip := range changed {
		is := vip != nil && limited(vip)
		if is || k.limited[name] {
			k.wake.Poke()
		}
		if is {
			k.limited[name] = true
			continue
		}
		delete(k.limited, name)
		if delete(k.known, name); vip != nil {
			k.known[name] = vip.UID
		}
	}
}

// ready tells whether the rules of a VirtualIP are in place, or why they cannot be. A change to them is not waited for: it
// follows in a moment, and an address that everybody could reach until now need not be withdrawn for it.
func (k *accessKeeper) ready(vip *v1alpha1.VirtualIP) (ready bool, failure error) {
	if !limited(vip) {
		return true, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	uid, known := k.known[vip.Name]
	return k.failure == nil && known && uid == vip.UID, k.failure
}

// changes counts how often the answers of ready have changed.
func (k *accessKeeper) changes() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.count
}

// limited tells whether some clients are refused at the address.
func limited(vip *v1alpha1.VirtualIP) bool {
	return slices.ContainsFunc(vip.Spec.Services, func(c v1alpha1.ServiceClaim) bool { return limits(c.AccessControl) })
}

func limits(a *v1alpha1.AccessControl) bool { return a != nil && len(a.Allow)+len(a.Deny) > 0 }

// run keeps the rules as they should be until ctx is done; they stay after that. It must not be called before the
// VirtualIPs are known, lest it remove what an earlier run left.
func (k *accessKeeper) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	looked := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-timer.C:
		}
		// However often VirtualIPs change: what has not changed itself is not written again.
		if time.Since(looked) >= accessCheck {
			k.look(ctx)
			looked = time.Now()
		}
		timer.Reset(min(k.apply(ctx), time.Until(looked.Add(accessCheck))))
		select {
		case <-ctx.Done():
			return
		case <-time.After(accessInterval):
		}
	}
}

// look finds out whether somebody has taken the rules away.
func (k *accessKeeper) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	intact, err := k.table.Intact(ctx)
	if err != nil && ctx.Err() == nil {
		klog.FromContext(ctx).Info("Rules of access control not looked at", "err", err)
	} else if !intact {
		klog.FromContext(ctx).Info("Rules of access control were taken away by somebody, writing them again")
	}
}

// apply writes the rules and returns when to look at them again.
func (k *accessKeeper) apply(parent context.Context) time.Duration {
	entries, covered := accessEntries(k.vips())
	ctx, cancel := context.WithTimeout(parent, accessTimeout)
	defer cancel()
	err := k.table.Apply(ctx, entries)
	if parent.Err() != nil {
		return accessRetry
	}
	k.mu.Lock()
	changed := (err == nil) != (k.failure == nil)
	k.failure = err
	for name, uid := range covered {
		if before, known := k.known[name]; err == nil && k.limited[name] && (!known || before != uid) {
			k.known[name], changed = uid, true
		}
	}
	if changed {
		k.count++
	}
	k.mu.Unlock()
	if changed {
		if err != nil {
			klog.FromContext(parent).Error(err, "Access control cannot be enforced, addresses that need it are not announced here")
		}
		k.changed()
	}
	if err != nil {
		return accessRetry
	}
	return accessCheck
}

// accessEntries makes the rules out of the objects, and names those that have any.
func accessEntries(vips []*v1alpha1.VirtualIP) (all []access.Entry, covered map[string]types.UID) {
	covered = map[string]types.UID{}
	for _, vip := range vips {
		if !limited(vip) {
			continue
		}
		addr, err := parseAddress(vip.Spec.Address)
		if err != nil {
			continue
		}
		covered[vip.Name] = vip.UID
		for i := range vip.Spec.Services {
			if c := &vip.Spec.Services[i]; limits(c.AccessControl) {
				all = append(all, accessEntry(addr, c))
			}
		}
	}
	return all, covered
}

// accessEntry is what one Service's claim means at an address. If it cannot be understood whom it denies, nobody is allowed.
func accessEntry(addr netip.Addr, c *v1alpha1.ServiceClaim) access.Entry {
	e := access.Entry{
		Name: fmt.Sprintf("%s %s/%s", addr, c.Namespace, c.Name), Address: addr, Limited: len(c.AccessControl.Allow) > 0,
	}
	for _, p := range c.Ports {
		e.Ports = append(e.Ports, access.Port{Protocol: protocolOf(p.Protocol), Number: uint16(p.Port)})
	}
	e.Allowed, _ = sources(c.AccessControl.Allow)
	denied, unknown := sources(c.AccessControl.Deny)
	if e.Denied = denied; unknown {
		e.Limited, e.Allowed = true, nil
	}
	return e
}

// sources reads CIDRs and single addresses, and reports whether there is anything else.
func sources(texts []string) (out []netip.Prefix, unknown bool) {
	for _, t := range texts {
		t = strings.TrimSpace(t)
		p, err := netip.ParsePrefix(t)
		if err != nil {
			a, err := netip.ParseAddr(t)
			if err != nil || a.Zone() != "" {
				unknown = true
				continue
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, unknown
}

func protocolOf(p corev1.Protocol) access.Protocol {
	return access.Protocol(strings.ToLower(string(p)))
}
