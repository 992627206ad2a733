// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/health"
)

// maxFailed is how many failing addresses the Announcer object names, maxReason how long a reason may be there.
const maxFailed, maxReason = 64, 512

// condition is what the probes of an address say together.
type condition struct {
	// probed: there are probes; checked: each of them has a verdict.
	probed, checked bool
	// service that fails, and why, of the first probe that does; both empty while none does.
	service, failure string
}

// probeKeeper runs the probes of the addresses that this node may announce.
type probeKeeper struct {
	monitor *health.Monitor[probeKey]

	mu     sync.Mutex
	probes map[netip.Addr][]probeKey // sorted
}

// newProbeKeeper makes it; changed gets the addresses whose probes have another verdict, and should not wait.
func newProbeKeeper(changed func([]netip.Addr), observe func(health.Observation)) *probeKeeper {
	return &probeKeeper{
		probes: map[netip.Addr][]probeKey{},
		monitor: health.New(health.Config[probeKey]{
			Observe: observe,
			Changed: func(keys []probeKey) {
				addrs := map[netip.Addr]struct{}{}
				for _, k := range keys {
					addrs[k.addr] = struct{}{}
				}
				changed(slices.Collect(maps.Keys(addrs)))
			},
		}),
	}
}

func (k *probeKeeper) run(ctx context.Context) { k.monitor.Run(ctx) }

// watch makes the probes of an address the given ones; none end its checks.
func (k *probeKeeper) watch(addr netip.Addr, checks map[probeKey]health.Check) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, old := range k.probes[addr] {
		if _, stays := checks[old]; !stays {
			k.monitor.Remove(old)
		}
	}
	if len(checks) == 0 {
		delete(k.probes, addr)
		return
	}
	for key, check := range checks {
		k.monitor.Set(key, check)
	}
	k.probes[addr] = slices.SortedFunc(maps.Keys(checks), func(a, b probeKey) int {
		return cmp.Or(strings.Compare(a.service, b.service), cmp.Compare(one(a.local), one(b.local)))
	})
}

// condition returns what is known of an address.
func (k *probeKeeper) condition(addr netip.Addr) condition {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.conditionOf(k.probes[addr])
}

func (k *probeKeeper) conditionOf(keys []probeKey) condition {
	c := condition{probed: len(keys) > 0, checked: len(keys) > 0}
	for _, key := range keys {
		switch v := k.monitor.Verdict(key); v.State {
		case health.Unhealthy:
			return condition{probed: true, checked: true, service: key.service, failure: failureText(key, v)}
		case health.Unknown:
			c.checked = false
		case health.Healthy:
		}
	}
	return c
}

// status is what the Announcer object says of the probes; nil without any.
func (k *probeKeeper) status() *v1alpha1.HealthChecks {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.probes) == 0 {
		return nil
	}
	s := &v1alpha1.HealthChecks{Running: int32(k.monitor.Len())}
	for _, addr := range slices.SortedFunc(maps.Keys(k.probes), netip.Addr.Compare) {
		c := k.conditionOf(k.probes[addr])
		if c.failure == "" {
			continue
		}
		if s.Failing++; len(s.Failed) < maxFailed {
			s.Failed = append(s.Failed, v1alpha1.FailedHealthCheck{
				Address: addr.String(), Service: c.service, Message: c.failure[:min(len(c.failure), maxReason)],
			})
		}
	}
	return s
}
