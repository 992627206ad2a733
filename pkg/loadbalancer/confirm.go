// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
)

// grounds holds, for each Service whose status is about to be written, the version of the Service from which its
// addresses were claimed. A status that is written on the condition that this is its version still is true: had another
// manager decided otherwise since, it would have written the Service.
type grounds struct {
	mu       sync.Mutex
	versions map[string]string
}

func newGrounds() *grounds { return &grounds{versions: map[string]string{}} }

// note takes the version where all that the Service has was claimed just now. What it had before may have been taken
// from it, by a manager that this one has not heard of yet.
func (g *grounds) note(key string, service *corev1.Service, had, has []*v1alpha1.VirtualIP) {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := slices.ContainsFunc(has, func(vip *v1alpha1.VirtualIP) bool {
		return slices.ContainsFunc(had, func(before *v1alpha1.VirtualIP) bool { return before.Name == vip.Name })
	})
	if old {
		delete(g.versions, key)
	} else {
		g.versions[key] = service.ResourceVersion
	}
}

func (g *grounds) take(key string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	version := g.versions[key]
	delete(g.versions, key)
	return version
}

// Version returns the version of a Service from which the addresses were claimed that Ensure has just returned, once: a
// write of these under the condition of this version needs no Confirm. It is empty where some were claimed before.
func (r *Reconciler) Version(service string) string { return r.grounds.take(service) }

// Confirm asks the API server whether the addresses are the Service's. A status with them may be written under the
// condition that the Service is still of this version, and within less than the time that an address stays reserved for
// the Service that gave it up: so no status ever shows an address that was handed to another Service.
func (r *Reconciler) Confirm(ctx context.Context, service *corev1.Service, addresses []string) error {
	key := Key(service.Namespace, service.Name)
	for _, text := range addresses {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("status of Service %s: %w", key, err)
		}
		vip, err := r.learn(ctx, ipam.ObjectName(addr))
		if err != nil {
			return fmt.Errorf("status of Service %s: looking up who has %s: %w", key, text, err)
		}
		if at := findClaim(vip, key); at < 0 || vip.Spec.Services[at].UID != service.UID {
			return fmt.Errorf("status of Service %s: address %s was given up meanwhile", key, text)
		}
	}
	return nil
}
