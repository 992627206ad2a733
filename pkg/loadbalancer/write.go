// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// errGone tells that a VirtualIP was deleted meanwhile.
var errGone = errors.New("the VirtualIP is gone")

// join brings the Service's claim on a VirtualIP up to date, or adds it where the others on the address admit it.
func (r *Reconciler) join(ctx context.Context, vip *v1alpha1.VirtualIP, service *corev1.Service, want settings.Settings) (*v1alpha1.VirtualIP, error) {
	return r.update(ctx, vip, func(now *v1alpha1.VirtualIP) error {
		if now.Spec.Pool == "" {
			now.Spec.Pool = r.book.poolOf(now) // its owner did not say it, and what the pool says holds all the same
		}
		if err := r.admit(now, service, want); err != nil {
			r.metrics.failed(err)
			return fmt.Errorf("address %s: %w", now.Spec.Address, err)
		}
		if now.Spec.ReclaimPolicy != v1alpha1.ReclaimRetain {
			now.Spec.Sharing = nil // it counts in a reservation only, and would stay when this becomes one
		}
		setAside(&now.Spec)
		before := wishes(&now.Spec)
		putClaim(&now.Spec, claimOf(service, want))
		return r.setAnnounce(&now.Spec, before)
	})
}

// uphold keeps the addresses of a Service where they can be announced while its settings are wrong: nodes and endpoints
// come and go all the same.
func (r *Reconciler) uphold(ctx context.Context, key string) ([]*v1alpha1.VirtualIP, error) {
	vips := r.book.claimedBy(key)
	for i, vip := range vips {
		updated, err := r.update(ctx, vip, func(now *v1alpha1.VirtualIP) error { return r.setAnnounce(&now.Spec, wishes(&now.Spec)) })
		if err != nil {
			return vips, err
		}
		vips[i] = updated
	}
	return vips, nil
}

// admit tells why a Service may not have an address, or nil.
func (r *Reconciler) admit(vip *v1alpha1.VirtualIP, service *corev1.Service, want settings.Settings) error {
	reserved := vip.Spec.ReservedFor
	if reserved != nil && !isReservedFor(vip, Key(service.Namespace, service.Name)) && !r.sharable(vip, service.Namespace, want.SharingKey) {
		owner := Key(reserved.Namespace, reserved.Name)
		if reserved.Until == nil {
			return fmt.Errorf("%w: kept for %s, which was deleted", ipam.ErrAddressInUse, owner)
		}
		return fmt.Errorf("%w: kept for %s, which gave it up a moment ago, until %s",
			ipam.ErrAddressInUse, owner, reserved.Until.UTC().Format(time.RFC3339))
	}
	if err := r.estranged(vip, service); err != nil {
		return err
	}
	shared := ipam.Shared{Declared: vip.Spec.ReclaimPolicy == v1alpha1.ReclaimRetain}
	if shared.Declared && vip.Spec.Sharing != nil {
		shared.SharingKey = vip.Spec.Sharing.Key
	}
	if pool := r.pool(vip.Spec.Pool); pool != nil {
		shared.AcrossNamespaces = pool.Spec.SharedAcrossNamespaces
	}
	for _, claim := range vip.Spec.Services {
		shared.Claims = append(shared.Claims, r.claimOnRecord(claim, want.SharingKey))
	}
	return ipam.Share(shared, newcomer(service, want))
}

// estranged tells why the pool of an address is not for a Service that wants to use the address, or nil. It is asked of
// newcomers: no edit of a pool takes an address away.
func (r *Reconciler) estranged(vip *v1alpha1.VirtualIP, service *corev1.Service) error {
	if findClaim(vip, Key(service.Namespace, service.Name)) >= 0 || Shows(service, vip.Spec.Address) {
		return nil
	}
	return r.book.admit(vip.Spec.Pool, r.requester(service))
}

// claimOnRecord says in the terms of the sharing rules what a VirtualIP says of a Service that uses it. key is the sharing
// key of the one that wants to be beside it.
func (r *Reconciler) claimOnRecord(claim v1alpha1.ServiceClaim, key string) ipam.Claim {
	recorded := ipam.Claim{
		Namespace: claim.Namespace, Name: claim.Name,
		SharingKey: claim.SharingKey, Settings: claim.Settings,
		Local: claim.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
	}
	for _, port := range claim.Ports {
		recorded.Ports = append(recorded.Ports, ipam.Port{Protocol: string(port.Protocol), Port: uint16(port.Port)})
	}
	if service, err := r.config.Services.Lister().Services(claim.Namespace).Get(claim.Name); err == nil {
		recorded.Selector = service.Spec.Selector
		// What it says by now counts, or two Services could never change a setting that they share. The key on record counts
		// as well: an edit of one Service does not put the other in the wrong.
		if want, _, err := r.parser.Parse(service); err == nil {
			recorded.Settings = want.Address.Encode()
			if want.SharingKey == key {
				recorded.SharingKey = key
			}
		}
	}
	return recorded
}

func newcomer(service *corev1.Service, want settings.Settings) ipam.Claim {
	claim := ipam.Claim{
		Namespace: service.Namespace, Name: service.Name,
		SharingKey: want.SharingKey,
		Local:      service.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
		Selector:   service.Spec.Selector,
		Settings:   want.Address.Encode(),
	}
	for _, port := range service.Spec.Ports {
		claim.Ports = append(claim.Ports, ipam.Port{Protocol: string(port.Protocol), Port: uint16(port.Port)})
	}
	return claim
}

// update changes a VirtualIP and writes it where that makes a difference, starting over from what the API server has when
// somebody else wrote it meanwhile. It fails with errGone when the object no longer exists.
func (r *Reconciler) update(ctx context.Context, vip *v1alpha1.VirtualIP, change func(*v1alpha1.VirtualIP) error) (*v1alpha1.VirtualIP, error) {
	client := r.config.Client.FairleadV1alpha1().VirtualIPs()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		changed := vip.DeepCopy()
		if err := change(changed); err != nil {
			return err
		}
		if sameSpec(&vip.Spec, &changed.Spec) {
			return nil
		}
		written, err := client.Update(ctx, changed, metav1.UpdateOptions{})
		if err == nil {
			r.observe(written)
			vip = written
			return nil
		}
		if apierrors.IsConflict(err) {
			if newer, gerr := r.learn(ctx, vip.Name); gerr == nil {
				vip = newer
			}
		}
		return err
	})
	if apierrors.IsNotFound(err) {
		r.forget(vip)
		return nil, fmt.Errorf("writing VirtualIP %s: %w", vip.Name, errGone)
	}
	if err != nil {
		return nil, err
	}
	return vip, nil
}

// leave takes a Service's claim off a VirtualIP. When the last one has left, the address is kept for as long as any of them
// was promised, and after that until no status shows it: whoever ends the reservation looks. A reservation of a user stays
// what it is.
func (r *Reconciler) leave(ctx context.Context, vip *v1alpha1.VirtualIP, key string, uid types.UID, keep keeping) error {
	if at := findClaim(vip, key); at < 0 || vip.Spec.Services[at].UID != uid {
		return nil
	}
	_, err := r.update(ctx, vip, func(now *v1alpha1.VirtualIP) error {
		at := findClaim(now, key)
		if at < 0 || now.Spec.Services[at].UID != uid {
			return nil
		}
		left, before := now.Spec.Services[at], wishes(&now.Spec)
		now.Spec.Services = slices.Delete(now.Spec.Services, at, at+1)
		promise(&now.Spec, left, keep, time.Now())
		setAside(&now.Spec)
		if len(now.Spec.Services) > 0 {
			// Leaving must not fail: what the others wish was possible with this one, and is without.
			if err := r.setAnnounce(&now.Spec, before); err != nil {
				r.setCandidates(&now.Spec, now.Spec.Candidates)
			}
			return nil
		}
		now.Spec.Candidates = nil
		return nil
	})
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// remove deletes a VirtualIP, provided that nobody changed it since it was read.
func (r *Reconciler) remove(ctx context.Context, vip *v1alpha1.VirtualIP) error {
	err := r.config.Client.FairleadV1alpha1().VirtualIPs().Delete(ctx, vip.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: new(vip.UID), ResourceVersion: new(vip.ResourceVersion)},
	})
	if err == nil || apierrors.IsNotFound(err) {
		r.forget(vip)
		return nil
	}
	return fmt.Errorf("releasing address %s: %w", vip.Spec.Address, err)
}

// releaseDelay returns how long the pool keeps a released address for its last Service.
func (r *Reconciler) releaseDelay(name string) time.Duration {
	if pool := r.pool(name); pool != nil && pool.Spec.ReleaseDelay != nil {
		return pool.Spec.ReleaseDelay.Duration
	}
	return 0
}

// SetAside makes of a VirtualIP that was kept for a Service what its user has declared it to be, by the reclaim policy
// Retain: a reservation, free for whoever names it.
func (r *Reconciler) SetAside(ctx context.Context, vip *v1alpha1.VirtualIP) error {
	_, err := r.update(ctx, vip, func(now *v1alpha1.VirtualIP) error {
		setAside(&now.Spec)
		return nil
	})
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// EndReservation deletes a VirtualIP that is kept for nobody any more, unless somebody has claimed or edited it meanwhile. The
// caller has seen that no status shows the address. A status that an announcer writes in between changes
// nothing about that.
func (r *Reconciler) EndReservation(ctx context.Context, vip *v1alpha1.VirtualIP) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		err := r.remove(ctx, vip)
		if !apierrors.IsConflict(err) {
			return err
		}
		newer, gerr := r.learn(ctx, vip.Name)
		if apierrors.IsNotFound(gerr) {
			return nil
		}
		if gerr != nil {
			return fmt.Errorf("releasing address %s: %w", vip.Spec.Address, gerr)
		}
		if newer.UID != vip.UID || newer.Generation != vip.Generation {
			return nil // claimed again, or edited: the event of that change leads here again
		}
		vip = newer
		return err
	})
}
