// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	coreinformers "k8s.io/client-go/informers/core/v1"
	discoveryinformers "k8s.io/client-go/informers/discovery/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/cloud-provider/service/helpers"
	"k8s.io/klog/v2"
	"k8s.io/utils/keymutex"

	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned"
	fairleadinformers "github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// surplusFor is how long an address that a Service does not want any more is kept for it, at least: longer than a write of
// a status takes that is under way (see Confirm).
const surplusFor = 10 * time.Second

// restoreFor is how long an address in the status of Services whose VirtualIP is missing is kept for them, from a start or
// from the deletion by hand on; renewFor is how much longer, as often as it takes, while they show it.
const (
	restoreFor = 10 * time.Minute
	renewFor   = time.Minute
)

// lockStripes is over how many locks the Services are spread: so many that two Services which are synced at the same time
// hardly ever wait for each other, however few processors there are.
const lockStripes = 256

// Config is what a Reconciler works with. All informers must be started by the caller.
type Config struct {
	Client         versioned.Interface
	Objects        fairleadinformers.Interface
	Nodes          coreinformers.NodeInformer
	Services       coreinformers.ServiceInformer
	Namespaces     coreinformers.NamespaceInformer
	EndpointSlices discoveryinformers.EndpointSliceInformer
	Rules          NodeRules
	// Settings says how annotations are read.
	Settings settings.Config
	// Events takes the warnings about Services; nil for none.
	Events record.EventRecorder
}

// Reconciler makes the VirtualIPs of Services what the Services ask for. Its methods are safe for concurrent use; calls
// for one Service wait for each other.
type Reconciler struct {
	config Config
	parser *settings.Parser
	book   *book
	pools  *poolBook
	locks  keymutex.KeyMutex
	// sharing serialises claims under one sharing key, so that two Services which start to share at the same moment
	// find the same address.
	sharing keymutex.KeyMutex
	synced  []cache.InformerSynced
	restore sync.Once
	metrics *allocationMetrics
	teller  *teller
	grounds *grounds

	mu      sync.Mutex
	waiting map[string]bool
	room    func()
	// follower hears of each VirtualIP after the book.
	follower cache.ResourceEventHandler
}

// New returns a Reconciler and registers its handlers with the informers.
func New(config Config) *Reconciler {
	r := &Reconciler{
		config: config, parser: settings.NewParser(config.Settings), book: newBook(), pools: newPoolBook(),
		locks: keymutex.NewHashed(lockStripes), sharing: keymutex.NewHashed(lockStripes),
		metrics: newAllocationMetrics(), teller: newTeller(config.Events), grounds: newGrounds(),
		waiting: map[string]bool{},
	}
	r.book.renewWhile(r.isShown)
	r.watchAll()
	return r
}

// AwaitSync waits until everything that exists is known: all claims are loaded before the first new one is made.
func (r *Reconciler) AwaitSync(ctx context.Context) error {
	if !cache.WaitForCacheSync(ctx.Done(), r.synced...) {
		return fmt.Errorf("waiting for the caches to fill: %w", context.Cause(ctx))
	}
	r.restore.Do(r.restoreClaims)
	return nil
}

// restoreClaims keeps addresses that stand in the status of Services and that no VirtualIP claims for these Services.
func (r *Reconciler) restoreClaims() {
	services, err := r.config.Services.Lister().List(labels.Everything())
	if err != nil {
		return // a lister of a cache does not fail
	}
	shownBy := map[netip.Addr][]string{}
	for _, service := range services {
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			if addr, err := netip.ParseAddr(ingress.IP); err == nil && !v1alpha1.OtherClass(service) {
				shownBy[addr] = append(shownBy[addr], Key(service.Namespace, service.Name))
			}
		}
	}
	until := time.Now().Add(restoreFor)
	for addr, keys := range shownBy {
		r.book.reserve(addr, until, keys...)
	}
	r.signalRoom()
}

// isShown tells whether the status of a Service, as far as is known, shows an address.
func (r *Reconciler) isShown(addr netip.Addr, key string) bool {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return false
	}
	service, err := r.config.Services.Lister().Services(namespace).Get(name)
	return err == nil && slices.ContainsFunc(service.Status.LoadBalancer.Ingress, func(ingress corev1.LoadBalancerIngress) bool {
		shown, err := netip.ParseAddr(ingress.IP)
		return err == nil && shown == addr
	})
}

// Ensure makes the VirtualIPs of a Service what the Service asks for and returns the status to write. An error is meant
// for the Service's events; what the Service had before then still stands. With an error that wraps settings.ErrInvalid,
// the status is that of what still stands and was published. A Service with PreferDualStack has the status of one family:
// without an error where the other one will not come by itself, which an event tells, and else with the error.
func (r *Reconciler) Ensure(ctx context.Context, service *corev1.Service) (*corev1.LoadBalancerStatus, error) {
	if err := r.AwaitSync(ctx); err != nil {
		return nil, err
	}
	key := Key(service.Namespace, service.Name)
	r.locks.LockKey(key)
	defer r.unlock(r.locks, key)

	want, warnings, err := r.parser.Parse(service)
	var vips []*v1alpha1.VirtualIP
	if err == nil {
		vips, err = r.reconcile(ctx, service, want)
		r.setWaiting(key, err != nil)
		warnings = slices.Concat(warnings, r.unannounced(want, vips), r.excludedEverywhere(vips), r.heldByEndpoints(vips), r.unpeered(want, vips))
	}
	if err == nil {
		r.teller.tell(service, warnings)
		r.teller.mended(service.UID)
		return statusOf(vips), nil
	}
	standing, failed := r.uphold(ctx, key)
	if failed != nil {
		klog.FromContext(ctx).Info("what a Service has was not brought up to date", "service", klog.KObj(service), "err", failed)
	}
	if len(vips) > 0 {
		if Permanent(err) {
			warnings, err = append(warnings, settings.Warning{Reason: ReasonOf(err), Text: err.Error()}), nil
		}
		r.teller.tell(service, warnings)
		return statusOf(vips), err
	}
	r.teller.tell(service, warnings)
	if !errors.Is(err, settings.ErrInvalid) {
		return nil, err
	}
	return statusOf(published(standing, service)), err
}

// Elsewhere tells whether an annotation gives a Service to another controller.
func (r *Reconciler) Elsewhere(service *corev1.Service) bool { return r.parser.Elsewhere(service) }

// reconcile returns the VirtualIPs of the Service, the first family's first. With PreferDualStack, one family is enough:
// then there are both VirtualIPs and an error.
func (r *Reconciler) reconcile(ctx context.Context, service *corev1.Service, want settings.Settings) ([]*v1alpha1.VirtualIP, error) {
	key := Key(service.Namespace, service.Name)
	have := shownFirst(r.book.claimedBy(key), service)
	var result []*v1alpha1.VirtualIP
	var errs []error
	for _, family := range families(service, want) {
		vips, err := r.ensureFamily(ctx, service, want, family, have)
		if err != nil {
			errs = append(errs, err)
			vips = inFamily(have, family) // the last good state
		}
		result = append(result, vips...)
	}
	failed := pressing(errs)
	if failed != nil && (len(result) == 0 || policy(service) != corev1.IPFamilyPolicyPreferDualStack) {
		return nil, failed
	}
	for _, vip := range have {
		if !slices.ContainsFunc(result, func(kept *v1alpha1.VirtualIP) bool { return kept.Name == vip.Name }) {
			if err := r.leave(ctx, vip, key, vip.Spec.Services[findClaim(vip, key)].UID, keeping{time: surplusFor}); err != nil {
				return nil, err
			}
		}
	}
	r.grounds.note(key, service, have, result)
	return result, failed
}

// Get returns the status that the claims of a Service make, and whether it has any. Claims of a Service that had the same
// name before are not its own.
func (r *Reconciler) Get(ctx context.Context, service *corev1.Service) (*corev1.LoadBalancerStatus, bool, error) {
	if err := r.AwaitSync(ctx); err != nil {
		return nil, false, err
	}
	vips := r.claimsOf(Key(service.Namespace, service.Name), service.UID)
	return statusOf(vips), len(vips) > 0, nil
}

// Holds tells, as far as is known now, whether a Service has a claim, or shows an address that is kept for it and comes with
// our finalizer: the claim may have ended, or its VirtualIP be deleted by hand.
func (r *Reconciler) Holds(service *corev1.Service) bool {
	key := Key(service.Namespace, service.Name)
	if len(r.claimsOf(key, service.UID)) > 0 {
		return true
	}
	return helpers.HasLBFinalizer(service) &&
		slices.ContainsFunc(service.Status.LoadBalancer.Ingress, func(ingress corev1.LoadBalancerIngress) bool {
			addr, err := netip.ParseAddr(ingress.IP)
			return err == nil && r.book.keeps(addr, key)
		})
}

// Release gives up the claims of a Service that is gone. It needs no more than its name and UID, so that neither bad
// settings nor a missing pool can block a deletion. A Service that was made anew under the name keeps what it has.
func (r *Reconciler) Release(ctx context.Context, namespace, name string, uid types.UID) error {
	if err := r.AwaitSync(ctx); err != nil {
		return err
	}
	key := Key(namespace, name)
	r.locks.LockKey(key)
	defer r.unlock(r.locks, key)
	r.setWaiting(key, false)
	r.teller.forget(uid)

	var errs []error
	for _, vip := range r.claimsOf(key, uid) {
		keep := keeping{time: r.releaseDelay(vip.Spec.Pool), forever: vip.Spec.Services[findClaim(vip, key)].PreserveOnDelete}
		errs = append(errs, r.leave(ctx, vip, key, uid, keep))
	}
	r.book.forgo(key, time.Now().Add(surplusFor))
	r.signalRoom()
	return errors.Join(errs...)
}

// Forget drops what was told of a Service that is gone, and that it waits. Its claims stay: see Release.
func (r *Reconciler) Forget(service *corev1.Service) {
	r.setWaiting(Key(service.Namespace, service.Name), false)
	r.teller.forget(service.UID)
}

// claimsOf returns the VirtualIPs on which the Service of that key and UID has a claim.
func (r *Reconciler) claimsOf(key string, uid types.UID) []*v1alpha1.VirtualIP {
	return slices.DeleteFunc(r.book.claimedBy(key), func(vip *v1alpha1.VirtualIP) bool {
		return vip.Spec.Services[findClaim(vip, key)].UID != uid
	})
}

// ClaimUIDs returns the UIDs of all Services, past and present, that have claims under a name.
func (r *Reconciler) ClaimUIDs(ctx context.Context, namespace, name string) ([]types.UID, error) {
	if err := r.AwaitSync(ctx); err != nil {
		return nil, err
	}
	key := Key(namespace, name)
	var uids []types.UID
	for _, vip := range r.book.claimedBy(key) {
		uids = append(uids, vip.Spec.Services[findClaim(vip, key)].UID)
	}
	return slices.Compact(uids), nil
}

// Waiting returns the keys of the Services that lack an address, in no order.
func (r *Reconciler) Waiting() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := make([]string, 0, len(r.waiting))
	for key := range r.waiting {
		keys = append(keys, key)
	}
	return keys
}

func (r *Reconciler) setWaiting(key string, waits bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if waits {
		r.waiting[key] = true
	} else {
		delete(r.waiting, key)
	}
}

// unlock unlocks a key that the caller has locked; unlocking fails only where it is not.
func (r *Reconciler) unlock(locks keymutex.KeyMutex, key string) { _ = locks.UnlockKey(key) }
