// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/placement"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// quarantineFor is how long an address that another station uses is handed to nobody.
const quarantineFor = 10 * time.Minute

// ensureFamily returns the VirtualIPs of one family that the Service shall have: those it has and that still satisfy it,
// brought up to date, and new ones for what lacks. What it has and no longer wants is left to the caller to give up.
func (r *Reconciler) ensureFamily(ctx context.Context, service *corev1.Service, want settings.Settings, family ipam.Family, have []*v1alpha1.VirtualIP) ([]*v1alpha1.VirtualIP, error) {
	key := Key(service.Namespace, service.Name)
	var result []*v1alpha1.VirtualIP
	for _, vip := range inFamily(have, family) {
		if InConflict(vip) {
			if addr, ok := address(vip); ok {
				r.book.quarantine(addr, time.Now().Add(quarantineFor))
			}
		}
		if len(result) == want.AddressesPerFamily || !satisfies(vip, key, want) {
			if err := stays(vip, service, want); err != nil {
				return nil, err
			}
			continue
		}
		updated, err := r.join(ctx, vip, service, want)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		result = append(result, updated)
	}
	for len(result) < want.AddressesPerFamily {
		vip, err := r.obtain(ctx, service, want, family, have)
		if err != nil {
			return nil, err
		}
		result = append(result, vip)
	}
	return result, nil
}

// obtain returns one more VirtualIP for the Service: by preference one that exists and is meant for it.
func (r *Reconciler) obtain(ctx context.Context, service *corev1.Service, want settings.Settings, family ipam.Family, have []*v1alpha1.VirtualIP) (*v1alpha1.VirtualIP, error) {
	if err := r.knowsNamespace(service.Namespace); err != nil {
		return nil, err
	}
	if want.SharingKey != "" {
		r.sharing.LockKey(want.SharingKey)
		defer r.unlock(r.sharing, want.SharingKey)
	}
	if want.ID != "" {
		return r.obtainReservation(ctx, service, want, family)
	}
	request := r.request(service, want, family)
	if request.Address.IsValid() {
		if vip := r.book.get(ipam.ObjectName(request.Address)); vip != nil {
			return r.join(ctx, vip, service, want)
		}
		return r.create(ctx, service, want, request)
	}
	if want.SharingKey != "" {
		if vip, err := r.joinSharing(ctx, service, want, family); vip != nil || err != nil {
			return vip, err
		}
	}
	for _, vip := range inFamily(r.book.reservedFor(request.Key), family) {
		if !satisfies(vip, request.Key, want) || r.outsidePools(vip, service) {
			continue
		}
		if joined, err := r.join(ctx, vip, service, want); err == nil || !elsewhere(err) {
			return joined, err
		}
	}
	if vip, err := r.reclaim(ctx, service, want, request, have); vip != nil || err != nil {
		return vip, err
	}
	return r.create(ctx, service, want, request)
}

// elsewhere tells whether an address that a Service did not get is to make it look for another one. What another try can
// mend is not: the address that its clients know must not change because one request was lost.
func elsewhere(err error) bool { return Permanent(err) || errors.Is(err, errGone) }

// request says in the terms of the index what the Service asks for.
func (r *Reconciler) request(service *corev1.Service, want settings.Settings, family ipam.Family) ipam.Request {
	request := r.requester(service)
	request.Family, request.Pools = family, want.PoolsOf(family)
	if asked, ok := want.AddressOf(family); ok {
		request.Address, request.Had = asked, Shows(service, asked.String())
	}
	if !want.Range.IsEmpty() && want.Range.Family() == family {
		request.Within = want.Range
	}
	return request
}

// requester says in the terms of the index who the Service is.
func (r *Reconciler) requester(service *corev1.Service) ipam.Request {
	request := ipam.Request{
		Key: Key(service.Namespace, service.Name), Namespace: service.Namespace, ServiceLabels: service.Labels,
	}
	if namespace, err := r.config.Namespaces.Lister().Get(service.Namespace); err == nil {
		request.NamespaceLabels = namespace.Labels
	}
	return request
}

// knowsNamespace returns an error where pools select Namespaces by labels and this one's are not known yet: news of a Service
// may come before that of its Namespace, and an address of the wrong pool would stay.
func (r *Reconciler) knowsNamespace(name string) error {
	if _, err := r.config.Namespaces.Lister().Get(name); err == nil || !r.poolsSelectNamespaces() {
		return nil
	}
	return fmt.Errorf("the labels of namespace %s, by which pools select, are not known yet", name)
}

// obtainReservation joins the VirtualIP of the family whose spec.id the Service names.
func (r *Reconciler) obtainReservation(ctx context.Context, service *corev1.Service, want settings.Settings, family ipam.Family) (*v1alpha1.VirtualIP, error) {
	named := r.book.find(func(vip *v1alpha1.VirtualIP) bool { return vip.Spec.ID == want.ID })
	for _, vip := range inFamily(named, family) {
		return r.join(ctx, vip, service, want)
	}
	return nil, fmt.Errorf("%w: annotation %s %q: no VirtualIP has this spec.id and an %s address",
		settings.ErrInvalid, want.KeyOf("id"), want.ID, family)
}

// joinSharing joins an address that is shared under the Service's key. Nil without an error means that there is none yet.
func (r *Reconciler) joinSharing(ctx context.Context, service *corev1.Service, want settings.Settings, family ipam.Family) (*v1alpha1.VirtualIP, error) {
	shared := r.book.find(func(vip *v1alpha1.VirtualIP) bool {
		return r.sharable(vip, service.Namespace, want.SharingKey) &&
			(len(want.PoolsOf(family)) == 0 || slices.Contains(want.PoolsOf(family), vip.Spec.Pool))
	})
	within := r.request(service, want, family).Within
	shared = slices.DeleteFunc(shared, func(vip *v1alpha1.VirtualIP) bool {
		addr, ok := address(vip)
		return !ok || InConflict(vip) || !within.IsEmpty() && !within.Contains(addr) || r.estranged(vip, service) != nil || r.outsidePools(vip, service)
	})
	var refused error
	for _, vip := range inFamily(shared, family) {
		joined, err := r.join(ctx, vip, service, want)
		if err == nil || !elsewhere(err) {
			return joined, err
		}
		refused = err
	}
	return nil, refused
}

// outsidePools tells whether an address that is kept for a Service is one that no pool hands out any more, and that the
// status of the Service does not show: it is not to come back, or nobody would ever be rid of it.
func (r *Reconciler) outsidePools(vip *v1alpha1.VirtualIP, service *corev1.Service) bool {
	return vip.Spec.ReservedFor != nil && r.book.poolOf(vip) == "" && !Shows(service, vip.Spec.Address)
}

// sharable tells whether Services of a namespace may share the address under a key: with those on it, or with the one that
// left it last, for which it is kept.
func (r *Reconciler) sharable(vip *v1alpha1.VirtualIP, namespace, key string) bool {
	if !sharedUnder(vip, key, "") {
		return false
	}
	if reserved := vip.Spec.ReservedFor; reserved != nil && reserved.Namespace == namespace {
		return true
	}
	if pool := r.pool(vip.Spec.Pool); pool != nil && pool.Spec.SharedAcrossNamespaces {
		return true
	}
	return slices.ContainsFunc(vip.Spec.Services, func(claim v1alpha1.ServiceClaim) bool { return claim.Namespace == namespace })
}

// reclaim claims back an address that stands in the Service's status and whose VirtualIP is missing. Nil without an error
// means that there is none.
func (r *Reconciler) reclaim(ctx context.Context, service *corev1.Service, want settings.Settings, request ipam.Request, have []*v1alpha1.VirtualIP) (*v1alpha1.VirtualIP, error) {
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		addr, err := netip.ParseAddr(ingress.IP)
		known := r.book.get(ipam.ObjectName(addr)) != nil || slices.ContainsFunc(have, func(vip *v1alpha1.VirtualIP) bool {
			return vip.Spec.Address == ingress.IP
		})
		if err != nil || known || ipam.FamilyOf(addr) != request.Family {
			continue
		}
		if !request.Within.IsEmpty() && !request.Within.Contains(addr) {
			continue
		}
		former := request
		former.Address, former.Had = addr, true
		if vip, err := r.create(ctx, service, want, former); err == nil || !elsewhere(err) {
			return vip, err
		}
	}
	return nil, nil
}

// create claims an address by creating its VirtualIP. Where somebody else was quicker, the address is marked taken and
// the next one tried; an address that was asked for is then shared or refused.
func (r *Reconciler) create(ctx context.Context, service *corev1.Service, want settings.Settings, request ipam.Request) (*v1alpha1.VirtualIP, error) {
	started := time.Now()
	for {
		var vip *v1alpha1.VirtualIP
		var unmet error
		choice, candidates, err := r.book.claim(request, time.Now(), func(choice ipam.Choice, load placement.Load) []string {
			if vip, unmet = r.newVirtualIP(service, want, choice); unmet != nil {
				return nil
			}
			return r.place(&vip.Spec, nil, load)
		})
		if err == nil && unmet != nil {
			r.book.unclaim(choice.Address)
			err = fmt.Errorf("pool %s: %w", choice.Pool, unmet)
		}
		if err != nil {
			r.metrics.failed(err)
			return nil, err
		}
		vip.Spec.Candidates, vip.Spec.Epoch = candidates, 1
		created, err := r.config.Client.FairleadV1alpha1().VirtualIPs().Create(ctx, vip, metav1.CreateOptions{})
		switch {
		case err == nil:
			r.observe(created)
			r.metrics.claimed(time.Since(started))
			return created, nil
		case apierrors.IsAlreadyExists(err):
			existing, err := r.learn(ctx, vip.Name)
			if err == nil && (request.Address.IsValid() || isReservedFor(existing, request.Key) || findClaim(existing, request.Key) >= 0) {
				return r.join(ctx, existing, service, want)
			}
			if err != nil && !apierrors.IsNotFound(err) {
				return nil, fmt.Errorf("looking up who has %s: %w", choice.Address, err)
			}
		default:
			r.book.unclaim(choice.Address)
			return nil, fmt.Errorf("claiming address %s of pool %s: %w", choice.Address, choice.Pool, err)
		}
	}
}

// learn fetches a VirtualIP that the caches do not know yet.
func (r *Reconciler) learn(ctx context.Context, name string) (*v1alpha1.VirtualIP, error) {
	existing, err := r.config.Client.FairleadV1alpha1().VirtualIPs().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		if addr, perr := ipam.ParseObjectName(name); perr == nil {
			r.book.unclaim(addr)
		}
		return nil, err
	}
	r.observe(existing)
	return existing, nil
}

func (r *Reconciler) newVirtualIP(service *corev1.Service, want settings.Settings, choice ipam.Choice) (*v1alpha1.VirtualIP, error) {
	vip := &v1alpha1.VirtualIP{
		ObjectMeta: metav1.ObjectMeta{Name: ipam.ObjectName(choice.Address)},
		Spec: v1alpha1.VirtualIPSpec{
			Address: choice.Address.String(), Pool: choice.Pool, ReclaimPolicy: v1alpha1.ReclaimDelete,
			NodeRules: r.config.Rules.onRecord(),
		},
	}
	putClaim(&vip.Spec, claimOf(service, want))
	announce, err := r.announce(&vip.Spec, want.Address, settings.AddressSettings{})
	vip.Spec.Announce = announce
	return vip, err
}
