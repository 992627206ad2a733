// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/cache"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// NotifyRoom has f called whenever Services that wait may find an address: after a pool, a Namespace or what somebody
// claims has changed, or an address was given up, once that is known here. f must not block. What time alone brings is not
// among it: see NextRoom.
func (r *Reconciler) NotifyRoom(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.room = f
}

func (r *Reconciler) signalRoom() {
	r.mu.Lock()
	f := r.room
	r.mu.Unlock()
	if f != nil {
		f()
	}
}

// NextRoom returns when Services that wait may find an address though nothing changes: an address is kept for somebody, or
// from everybody, until then. It is the zero time if there is no such one. Whenever there is a new one, room is signalled.
func (r *Reconciler) NextRoom() time.Time { return r.book.nextEnd(time.Now()) }

// FollowVirtualIPs has a handler called for each event of a VirtualIP, once the Reconciler knows of it. A handler of the
// informer's has no such order: whoever looks at a Service because of the event may find it as it was before, and nobody
// looks again. A VirtualIP that is known already is added now, and may be added twice.
func (r *Reconciler) FollowVirtualIPs(handler cache.ResourceEventHandler) {
	r.mu.Lock()
	r.follower = handler
	r.mu.Unlock()
	for _, vip := range r.book.find(func(*v1alpha1.VirtualIP) bool { return true }) {
		handler.OnAdd(vip, true)
	}
}

// bookkeeper keeps the book, and then tells whoever follows.
type bookkeeper struct{ *Reconciler }

func (k bookkeeper) next() cache.ResourceEventHandler {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.follower == nil {
		return cache.ResourceEventHandlerFuncs{}
	}
	return k.follower
}

// OnAdd implements cache.ResourceEventHandler.
func (k bookkeeper) OnAdd(obj any, initial bool) {
	k.observe(obj.(*v1alpha1.VirtualIP))
	k.next().OnAdd(obj, initial)
}

// OnUpdate implements cache.ResourceEventHandler.
func (k bookkeeper) OnUpdate(before, now any) {
	k.observe(now.(*v1alpha1.VirtualIP))
	k.next().OnUpdate(before, now)
}

// OnDelete implements cache.ResourceEventHandler.
func (k bookkeeper) OnDelete(obj any) {
	last := obj
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		last = tombstone.Obj
	}
	if vip, ok := last.(*v1alpha1.VirtualIP); ok {
		k.forget(vip)
		k.book.bury(vip)
	}
	k.next().OnDelete(obj)
}

// observe records a VirtualIP as the API server has it.
func (r *Reconciler) observe(vip *v1alpha1.VirtualIP) {
	if r.book.observe(vip) {
		r.signalRoom()
	}
}

// forget records that a VirtualIP is gone. One with claims was deleted by hand, and its address is in the status of its
// Services: it stays theirs, so that whoever waits for an address is not quicker than they are.
func (r *Reconciler) forget(vip *v1alpha1.VirtualIP) {
	var keys []string
	for _, claim := range vip.Spec.Services {
		service, err := r.config.Services.Lister().Services(claim.Namespace).Get(claim.Name)
		if err == nil && service.UID == claim.UID {
			keys = append(keys, Key(claim.Namespace, claim.Name))
		}
	}
	r.book.forget(vip, time.Now().Add(restoreFor), keys...)
	r.signalRoom()
}

// watchAll registers the Reconciler's handlers with the informers.
func (r *Reconciler) watchAll() {
	r.watch(r.config.Objects.VirtualIPs().Informer(), bookkeeper{r})
	r.watch(r.config.Objects.AddressPools().Informer(), r.poolHandlers())
	changed := func(any) { r.refreshPools() }
	r.watch(r.config.Nodes.Informer(), cache.ResourceEventHandlerFuncs{
		AddFunc: changed, DeleteFunc: changed,
		UpdateFunc: func(before, now any) {
			if a, b := before.(*corev1.Node), now.(*corev1.Node); !slices.Equal(a.Status.Addresses, b.Status.Addresses) {
				changed(now)
			}
		},
	})
	r.watch(r.config.Namespaces.Informer(), cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { r.signalRoom() },
		UpdateFunc: func(before, now any) {
			if a, b := before.(*corev1.Namespace), now.(*corev1.Namespace); !maps.Equal(a.Labels, b.Labels) {
				r.signalRoom()
			}
		},
	})
	r.synced = append(r.synced, r.config.Objects.Announcers().Informer().HasSynced, r.config.Services.Informer().HasSynced,
		r.config.Objects.BGPPeers().Informer().HasSynced, r.config.EndpointSlices.Informer().HasSynced)
}

func (r *Reconciler) poolHandlers() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { r.refreshPools() }, DeleteFunc: func(any) { r.refreshPools() },
		UpdateFunc: func(before, now any) {
			// The counts in its status change all the time, and make no room.
			was, is := before.(*v1alpha1.AddressPool), now.(*v1alpha1.AddressPool)
			if was.UID != is.UID || !apiequality.Semantic.DeepEqual(was.Spec, is.Spec) {
				r.refreshPools()
			}
		},
	}
}

// watch registers a handler. Registration fails only on an informer that has stopped, when nothing matters any more.
func (r *Reconciler) watch(informer cache.SharedIndexInformer, handler cache.ResourceEventHandler) {
	registration, err := informer.AddEventHandler(handler)
	if err != nil {
		return
	}
	r.synced = append(r.synced, registration.HasSynced)
}
