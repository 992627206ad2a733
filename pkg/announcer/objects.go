// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned"
	"github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions"
	listers "github.com/fairlead-io/fairlead/pkg/api/client/listers/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/leaving"
)

// nodeFacts is what this node's Node object says, or last said.
type nodeFacts struct {
	labels labels.Set
	// annotations are for what a BGPPeer looks up there.
	annotations map[string]string
	uid         types.UID // "" while the object has not been read, or is gone
	draining    bool
	cordoned    bool
	drainSign   string
}

// informed is the API server's contents as informers last saw them; they stay while it is away.
type informed struct {
	self         string
	factory      externalversions.SharedInformerFactory
	vips         listers.VirtualIPLister
	agents       listers.AnnouncerLister
	nodes        cache.SharedIndexInformer
	informerSync []cache.InformerSynced
	// lastNode is what the Node object last said; nil before it was read.
	lastNode atomic.Pointer[nodeFacts]
}

// newInformed makes the informers, which put what changes into the inbox.
func newInformed(self string, fairlead versioned.Interface, core corev1client.NodesGetter, box *inbox) (*informed, error) {
	factory := externalversions.NewSharedInformerFactory(fairlead, 0)
	api := factory.Fairlead().V1alpha1()
	onlySelf := fields.OneTermEqualSelector("metadata.name", self)
	o := &informed{
		self: self, factory: factory, vips: api.VirtualIPs().Lister(), agents: api.Announcers().Lister(),
		nodes: cache.NewSharedIndexInformer(
			cache.ToListWatcherWithWatchListSemantics(nodeListWatch(core, onlySelf), core), &corev1.Node{}, 0, nil),
	}
	poke := cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { box.poke() }, UpdateFunc: func(_, _ any) { box.poke() }, DeleteFunc: func(any) { box.poke() },
	}
	name := func(obj any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
			box.vip(key)
		}
	}
	for _, r := range []struct {
		what     string
		informer cache.SharedIndexInformer
		handler  cache.ResourceEventHandler
	}{
		{"VirtualIPs", api.VirtualIPs().Informer(), cache.ResourceEventHandlerFuncs{
			AddFunc: name, UpdateFunc: func(_, obj any) { name(obj) }, DeleteFunc: name,
		}},
		{"Announcers", api.Announcers().Informer(), poke},
		{"Node " + self, o.nodes, poke},
	} {
		if err := r.informer.SetTransform(dropManagedFields); err != nil {
			return nil, fmt.Errorf("informer for %s: %w", r.what, err)
		}
		reg, err := r.informer.AddEventHandler(r.handler)
		if err != nil {
			return nil, fmt.Errorf("informer for %s: %w", r.what, err)
		}
		o.informerSync = append(o.informerSync, reg.HasSynced)
	}
	return o, nil
}

// nodeListWatch lists and watches this node's own Node only.
func nodeListWatch(core corev1client.NodesGetter, selector fields.Selector) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector.String()
			return core.Nodes().List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = selector.String()
			return core.Nodes().Watch(ctx, o)
		},
	}
}

func dropManagedFields(obj any) (any, error) {
	if m, ok := obj.(metav1.ObjectMetaAccessor); ok {
		m.GetObjectMeta().SetManagedFields(nil)
	}
	return obj, nil
}

// run keeps the informers going until ctx is done; they go on trying while the API server is away.
func (o *informed) run(ctx context.Context, box *inbox) {
	o.factory.Start(ctx.Done())
	defer o.factory.Shutdown()
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(func() {
		if cache.WaitForCacheSync(ctx.Done(), o.informerSync...) {
			klog.FromContext(ctx).Info("Objects read from the API server", "virtualIPs", len(o.allVIPs()), "announcers", len(o.announcers()))
			box.poke()
		}
	})
	o.nodes.Run(ctx.Done())
}

func (o *informed) synced() bool {
	for _, s := range o.informerSync {
		if !s() {
			return false
		}
	}
	return true
}

func (o *informed) virtualIP(name string) *v1alpha1.VirtualIP {
	vip, err := o.vips.Get(name)
	if err != nil {
		return nil // the lister knows no other error than not found
	}
	return vip
}

func (o *informed) allVIPs() []*v1alpha1.VirtualIP {
	all, err := o.vips.List(labels.Everything())
	if err != nil {
		return nil
	}
	return all
}

func (o *informed) announcers() []*v1alpha1.Announcer {
	all, err := o.agents.List(labels.Everything())
	if err != nil {
		return nil
	}
	return all
}

func (o *informed) announcer(name string) *v1alpha1.Announcer {
	an, err := o.agents.Get(name)
	if err != nil {
		return nil // the lister knows no other error than not found
	}
	return an
}

func (o *informed) nodeObject() *corev1.Node {
	obj, ok, err := o.nodes.GetStore().GetByKey(o.self)
	if err != nil || !ok {
		return nil
	}
	n, _ := obj.(*corev1.Node)
	return n
}

func (o *informed) node() nodeFacts {
	n := o.nodeObject()
	if n == nil {
		return o.withoutNode()
	}
	sign := leaving.Sign(n)
	facts := nodeFacts{
		labels: n.Labels, annotations: n.Annotations, uid: n.UID, draining: sign != "", drainSign: sign, cordoned: n.Spec.Unschedulable,
	}
	o.lastNode.Store(&facts)
	return facts
}

// withoutNode is what holds while there is no Node object. A node that has lost it is about to go, and what kept it from
// announcing does so until then.
func (o *informed) withoutNode() nodeFacts {
	last := o.lastNode.Load()
	if last == nil && !o.nodes.HasSynced() {
		return nodeFacts{}
	}
	gone := nodeFacts{}
	if last != nil {
		gone = *last
	}
	gone.uid, gone.draining, gone.drainSign = "", true, "the Node object is gone"
	return gone
}

// waitNode waits a while for the Node object, so that the addresses it names are known.
func (o *informed) waitNode(ctx context.Context, atMost time.Duration) *corev1.Node {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	cache.WaitForCacheSync(ctx.Done(), o.nodes.HasSynced)
	return o.nodeObject()
}
