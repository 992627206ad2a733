// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
)

// poolBook is what came of reading the pools.
type poolBook struct {
	mu       sync.Mutex
	errs     map[string]error
	overlaps map[string][]ipam.Overlap
}

func newPoolBook() *poolBook { return &poolBook{} }

// PoolReport is what a pool's status tells.
type PoolReport struct {
	// Err names every field of the spec that cannot be read.
	Err error
	// Overlaps are the parts of the pool that it does not hand out, because an older pool or a node has them.
	Overlaps []ipam.Overlap
	// IPv4 and IPv6 count the addresses of each family.
	IPv4, IPv6 ipam.Usage
	// Outside are addresses assigned from the pool that an edit has put outside of it.
	Outside []ipam.Outside
}

// PoolReport returns what there is to say of a pool.
func (r *Reconciler) PoolReport(name string) PoolReport {
	r.pools.mu.Lock()
	report := PoolReport{Err: r.pools.errs[name], Overlaps: r.pools.overlaps[name]}
	r.pools.mu.Unlock()
	report.IPv4, report.IPv6, report.Outside = r.book.usage(name, time.Now())
	return report
}

// refreshPools reads all pools anew. It runs in the informers' goroutines, two of which may call it at once: the lock is
// held to the end, so that the later reading wins.
func (r *Reconciler) refreshPools() {
	defer r.signalRoom()
	r.pools.mu.Lock()
	defer r.pools.mu.Unlock()
	pools, err := r.config.Objects.AddressPools().Lister().List(labels.Everything())
	if err != nil {
		return // a lister of a cache does not fail
	}
	var specs []ipam.PoolSpec
	r.pools.errs = map[string]error{}
	r.pools.overlaps = map[string][]ipam.Overlap{}
	for _, pool := range pools {
		spec, err := poolSpec(pool)
		specs = append(specs, spec)
		if err != nil {
			r.pools.errs[pool.Name] = err
		}
	}
	for _, overlap := range r.book.setPools(specs, r.nodeAddresses()) {
		r.pools.overlaps[overlap.Pool] = append(r.pools.overlaps[overlap.Pool], overlap)
	}
}

// nodeAddresses returns the addresses of all nodes: no pool may hand them out.
func (r *Reconciler) nodeAddresses() []ipam.Node {
	nodes, err := r.config.Nodes.Lister().List(labels.Everything())
	if err != nil {
		return nil // a lister of a cache does not fail
	}
	var all []ipam.Node
	for _, node := range nodes {
		for _, text := range node.Status.Addresses {
			if addr, err := netip.ParseAddr(text.Address); err == nil {
				all = append(all, ipam.Node{Name: node.Name, Address: addr})
			}
		}
	}
	return all
}

// pool returns a pool, or nil where there is none of that name.
func (r *Reconciler) pool(name string) *v1alpha1.AddressPool {
	pool, err := r.config.Objects.AddressPools().Lister().Get(name)
	if err != nil {
		return nil
	}
	return pool
}

// poolsSelectNamespaces tells whether there is a pool for Namespaces with certain labels.
func (r *Reconciler) poolsSelectNamespaces() bool {
	pools, err := r.config.Objects.AddressPools().Lister().List(labels.Everything())
	return err == nil && slices.ContainsFunc(pools, func(pool *v1alpha1.AddressPool) bool { return pool.Spec.NamespaceSelector != nil })
}
