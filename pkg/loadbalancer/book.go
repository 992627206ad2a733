// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/placement"
)

// book is what is known of addresses: every VirtualIP, and the index of what is free. Informers keep it up to date, and
// so does each write that is made here, so that a call sees what the one before it wrote. Objects in it are shared and
// must not be changed. All methods are safe for concurrent use.
type book struct {
	mu    sync.Mutex
	index *ipam.Index
	vips  map[string]*v1alpha1.VirtualIP
	// byKey holds the names of the VirtualIPs that a Service has claims on, or that are reserved for it.
	byKey map[string]map[string]bool
	// load counts, per node, the VirtualIPs that it announces: where nobody does, those of which it is the first candidate.
	load placement.Load
	// pending holds the first candidates of addresses that are taken and not yet written; load counts them.
	pending map[netip.Addr]string
	// gone holds VirtualIPs that were forgotten before the informer told of their deletion: until then it may tell of earlier
	// versions.
	gone map[types.UID]*v1alpha1.VirtualIP
}

func newBook() *book {
	return &book{
		index: ipam.NewIndex(),
		vips:  map[string]*v1alpha1.VirtualIP{},
		byKey: map[string]map[string]bool{},
		load:  placement.Load{},

		pending: map[netip.Addr]string{},
		gone:    map[types.UID]*v1alpha1.VirtualIP{},
	}
}

// observe records a VirtualIP as the API server has it, and tells whether that may leave room for others: what decides who
// may join it has changed. A version older than the one known changes nothing, nor does one of an object that is gone.
func (b *book) observe(vip *v1alpha1.VirtualIP) (room bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	addr, ok := address(vip)
	if !ok {
		return false
	}
	if last := b.gone[vip.UID]; last != nil {
		if !older(last, vip) {
			return false
		}
		delete(b.gone, vip.UID) // a finalizer holds it
	}
	known := b.vips[vip.Name]
	if known != nil {
		if older(vip, known) {
			return false
		}
		b.unlink(known)
	}
	room = admitsAnew(known, vip)
	b.vips[vip.Name] = vip
	b.settle(addr)
	b.link(vip)
	if reserved := vip.Spec.ReservedFor; reserved != nil {
		// Without an end: the address is nobody else's until the object is gone, however late that is.
		b.index.Keep(addr, ipam.Holder{Key: Key(reserved.Namespace, reserved.Name), Namespace: reserved.Namespace, Pool: vip.Spec.Pool})
		return room
	}
	b.index.Put(addr, holder(vip))
	return room
}

// admitsAnew tells whether Services that could not join a VirtualIP as it was (nil: there was none) may be able to join it
// as it is.
func admitsAnew(was, is *v1alpha1.VirtualIP) bool {
	if was == nil {
		shares := func(claim v1alpha1.ServiceClaim) bool { return claim.SharingKey != "" }
		return slices.ContainsFunc(is.Spec.Services, shares) || len(is.Spec.Services) == 0 && is.Spec.ReservedFor == nil
	}
	return !apiequality.Semantic.DeepEqual(was.Spec.Services, is.Spec.Services) ||
		!apiequality.Semantic.DeepEqual(was.Spec.Sharing, is.Spec.Sharing) ||
		!apiequality.Semantic.DeepEqual(was.Spec.ReservedFor, is.Spec.ReservedFor) ||
		was.Spec.ReclaimPolicy != is.Spec.ReclaimPolicy || was.Spec.ID != is.Spec.ID || was.Spec.Pool != is.Spec.Pool
}

// forget records that a VirtualIP is gone, and keeps its address for the Services of these keys.
func (b *book) forget(vip *v1alpha1.VirtualIP, until time.Time, keys ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.vips[vip.Name]
	if known == nil || known.UID != vip.UID {
		return
	}
	b.unlink(known)
	delete(b.vips, vip.Name)
	b.gone[vip.UID] = known
	if addr, ok := address(vip); ok {
		b.index.Release(addr)
		b.index.Unreserve(addr)
		b.index.Reserve(addr, until, keys...)
	}
}

// bury records that nothing more will be heard of a VirtualIP that is gone.
func (b *book) bury(vip *v1alpha1.VirtualIP) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.gone, vip.UID)
}

// older tells whether an object is of an earlier version than another of the same name, which may have been made anew.
func older(vip, known *v1alpha1.VirtualIP) bool {
	order, err := resourceversion.CompareResourceVersion(vip.ResourceVersion, known.ResourceVersion)
	return err == nil && order < 0
}

// keysOf returns the keys of the Services that a VirtualIP belongs to.
func keysOf(vip *v1alpha1.VirtualIP) []string {
	var keys []string
	for _, claim := range vip.Spec.Services {
		keys = append(keys, Key(claim.Namespace, claim.Name))
	}
	if reserved := vip.Spec.ReservedFor; reserved != nil {
		keys = append(keys, Key(reserved.Namespace, reserved.Name))
	}
	return keys
}

func (b *book) link(vip *v1alpha1.VirtualIP) {
	for _, key := range keysOf(vip) {
		if b.byKey[key] == nil {
			b.byKey[key] = map[string]bool{}
		}
		b.byKey[key][vip.Name] = true
	}
	if node := bearer(vip); node != "" {
		b.load[node]++
	}
}

func (b *book) unlink(vip *v1alpha1.VirtualIP) {
	for _, key := range keysOf(vip) {
		delete(b.byKey[key], vip.Name)
		if len(b.byKey[key]) == 0 {
			delete(b.byKey, key)
		}
	}
	if node := bearer(vip); node != "" {
		b.load[node]--
	}
}

// bearer returns the node whose load a VirtualIP is: the one that announces it, which need not be its first candidate any
// more, or else the one that is to. It is empty where there is none.
func bearer(vip *v1alpha1.VirtualIP) string {
	if vip.Status.Node == "" && len(vip.Spec.Candidates) > 0 {
		return vip.Spec.Candidates[0]
	}
	return vip.Status.Node
}

// claimedBy returns the VirtualIPs that the Service has claims on, by name; reserved ones are not among them.
func (b *book) claimedBy(key string) []*v1alpha1.VirtualIP {
	return b.pick(key, func(vip *v1alpha1.VirtualIP) bool { return findClaim(vip, key) >= 0 })
}

// reservedFor returns the VirtualIPs that wait for a Service of this key, by name.
func (b *book) reservedFor(key string) []*v1alpha1.VirtualIP {
	return b.pick(key, func(vip *v1alpha1.VirtualIP) bool { return vip.Spec.ReservedFor != nil })
}

func (b *book) pick(key string, want func(*v1alpha1.VirtualIP) bool) []*v1alpha1.VirtualIP {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []*v1alpha1.VirtualIP
	for _, name := range slices.Sorted(maps.Keys(b.byKey[key])) {
		if vip := b.vips[name]; want(vip) {
			found = append(found, vip)
		}
	}
	return found
}

// get returns the VirtualIP of an address, or nil.
func (b *book) get(name string) *v1alpha1.VirtualIP {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.vips[name]
}

// find returns all VirtualIPs that a function wants, the oldest first. It looks at each.
func (b *book) find(want func(*v1alpha1.VirtualIP) bool) []*v1alpha1.VirtualIP {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []*v1alpha1.VirtualIP
	for _, vip := range b.vips {
		if want(vip) {
			found = append(found, vip)
		}
	}
	slices.SortFunc(found, func(x, y *v1alpha1.VirtualIP) int {
		return cmp.Or(x.CreationTimestamp.Compare(y.CreationTimestamp.Time), cmp.Compare(x.Name, y.Name))
	})
	return found
}

// claim takes an address for the request, and places it: place returns the candidates, given the nodes' loads. The
// address is taken in the book only; the caller makes the VirtualIP, or calls unclaim.
func (b *book) claim(req ipam.Request, now time.Time, place func(choice ipam.Choice, load placement.Load) []string) (ipam.Choice, []string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	choice, err := b.index.Pick(req, now)
	if err != nil {
		return ipam.Choice{}, nil, err
	}
	taken := ipam.Holder{Key: req.Key, Namespace: req.Namespace, Pool: choice.Pool}
	if err := b.index.Take(choice.Address, taken, now); err != nil {
		return ipam.Choice{}, nil, err
	}
	candidates := place(choice, b.load)
	if len(candidates) > 0 {
		b.pending[choice.Address] = candidates[0]
		b.load[candidates[0]]++
	}
	return choice, candidates, nil
}

// poolOf returns the name of the pool that has the address of a VirtualIP, or nothing where none has.
func (b *book) poolOf(vip *v1alpha1.VirtualIP) string {
	addr, ok := address(vip)
	if !ok {
		return ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	name, _ := b.index.PoolOf(addr)
	return name
}

// admit tells why an address of a pool is not for a Service, or nil.
func (b *book) admit(pool string, req ipam.Request) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.index.Admit(pool, req)
}

// settle ends the pending first place of an address: it was written, or given up.
func (b *book) settle(addr netip.Addr) {
	if node, ok := b.pending[addr]; ok {
		b.load[node]--
		delete(b.pending, addr)
	}
}

// unclaim gives back an address that claim took and that did not become a VirtualIP.
func (b *book) unclaim(addr netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settle(addr)
	if b.vips[ipam.ObjectName(addr)] == nil {
		b.index.Release(addr)
	}
}

// revise returns the candidates of a VirtualIP that exists, given the nodes' loads.
func (b *book) revise(place func(load placement.Load) []string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return place(b.load)
}

// reserve keeps an address for Services.
func (b *book) reserve(addr netip.Addr, until time.Time, keys ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.index.Reserve(addr, until, keys...)
}

// renewWhile keeps an address for a Service beyond the time that reserve was told, as long as a function says that it needs
// it. The function must not call the book.
func (b *book) renewWhile(needs func(addr netip.Addr, key string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.index.RenewWhile(needs, renewFor)
}

// keeps tells whether an address of a pool, or that of a VirtualIP, is kept for a Service.
func (b *book) keeps(addr netip.Addr, key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, pooled := b.index.PoolOf(addr)
	return (pooled || b.vips[ipam.ObjectName(addr)] != nil) && b.index.Keeps(addr, key, time.Now())
}

// forgo keeps no address without a VirtualIP for a Service any longer than that.
func (b *book) forgo(key string, latest time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.index.Forgo(key, latest)
}

// quarantine keeps an address from everybody: a station outside the cluster uses it.
func (b *book) quarantine(addr netip.Addr, until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.index.Quarantine(addr, until)
}

// setPools replaces the pools, and returns where they overlap.
func (b *book) setPools(specs []ipam.PoolSpec, nodes []ipam.Node) []ipam.Overlap {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.index.SetPools(specs, nodes)
}

// nextEnd returns when the next reservation or quarantine ends: the zero time if none does.
func (b *book) nextEnd(now time.Time) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.index.Expire(now)
}

// usage counts the addresses of a pool, per family, and lists those that it does not contain any more.
func (b *book) usage(pool string, now time.Time) (v4, v6 ipam.Usage, outside []ipam.Outside) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.index.Expire(now)
	return b.index.Usage(pool, ipam.IPv4), b.index.Usage(pool, ipam.IPv6), b.index.Outside(pool)
}
