// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned"
	fairleadinformers "github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/cloudconfig"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

// Name is the controller's name in --controllers and in /healthz.
const Name = "fairlead-controller"

// workers is the number of goroutines that reconcile. The stock controller has its own; this one is for what it missed.
const workers = 4

// Config is what a Controller works with.
type Config struct {
	Balancers *loadbalancer.Reconciler
	Kube      kubernetes.Interface
	Client    versioned.Interface
	Objects   fairleadinformers.Interface
	Informers informers.SharedInformerFactory
	// Namespace holds the Secret with the gossip key.
	Namespace string
	// Classless tells that this process runs the stock service controller, and so serves Services without a class too.
	Classless bool
	// DeadNodeEndpoints says whether the pods of nodes are taken out of service that a majority of announcers has lost.
	DeadNodeEndpoints cloudconfig.DeadNodePolicy
	Events            record.EventRecorder
}

// kind says what an item of the queue is.
type kind string

const (
	serviceKind   kind = "Service"     // name is namespace/name
	virtualIPKind kind = "VirtualIP"   // name is the object's
	poolKind      kind = "AddressPool" // name is the object's
	roomKind      kind = "Room"        // all Services that wait, and the counts of all pools; without a name
)

type item struct {
	kind kind
	name string
}

// Controller reconciles Services, VirtualIPs and AddressPools whenever they differ from what they should be.
type Controller struct {
	config Config
	queue  workqueue.TypedRateLimitingInterface[item]
	pools  *metrics.GaugeVec
	// services writes addresses into the status of Services.
	services corev1client.CoreV1Interface
	// votes wakes the goroutine that looks for dead nodes; more than one wake-up is one.
	votes chan struct{}
}

// New returns a Controller and registers its handlers with the informers, which the caller starts.
func New(config Config) *Controller {
	c := &Controller{
		config: config,
		votes:  make(chan struct{}, 1),
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[item](100*time.Millisecond, time.Minute),
			workqueue.TypedRateLimitingQueueConfig[item]{Name: Name}),
		pools: metrics.NewGaugeVec(&metrics.GaugeOpts{
			Namespace: "fairlead", Subsystem: "pool", Name: "addresses",
			Help:           "Addresses of a pool, by state: total, assigned, reserved, quarantined, free.",
			StabilityLevel: metrics.ALPHA,
		}, []string{"pool", "state"}),
	}
	c.services = ForStockClient(config.Kube, config.Informers.Core().V1().Services().Lister(), config.Balancers).CoreV1()
	config.Balancers.NotifyRoom(func() { c.add(roomKind, "") })
	core := config.Informers.Core().V1()
	if err := core.Services().Informer().AddIndexers(cache.Indexers{byShownAddress: shownAddresses}); err != nil {
		klog.Background().Error(err, "indexing Services by the addresses that they show")
	}
	c.watch(core.Services().Informer(), c.serviceHandlers())
	c.watch(core.Nodes().Informer(), c.nodeHandlers())
	c.watch(config.Informers.Discovery().V1().EndpointSlices().Informer(), c.endpointSliceHandlers())
	config.Balancers.FollowVirtualIPs(c.virtualIPHandlers())
	c.watch(config.Objects.AddressPools().Informer(), c.poolHandlers())
	c.watch(config.Objects.Announcers().Informer(), c.announcerHandlers())
	return c
}

// Name implements the framework's controller.Interface.
func (c *Controller) Name() string { return Name }

// watch registers a handler. It fails only on an informer that has stopped, when nothing matters any more.
func (c *Controller) watch(informer cache.SharedIndexInformer, handler cache.ResourceEventHandler) {
	if _, err := informer.AddEventHandler(handler); err != nil {
		klog.Background().Error(err, "registering a handler")
	}
}

// Run reconciles until the context ends, and waits for what it started.
func (c *Controller) Run(ctx context.Context) {
	logger := klog.FromContext(ctx).WithName(Name)
	ctx = klog.NewContext(ctx, logger)
	for _, metric := range append(c.config.Balancers.Metrics(), c.pools) {
		if err := legacyregistry.Register(metric); err != nil {
			logger.V(4).Info("metric is registered already", "err", err)
		}
	}
	var running sync.WaitGroup
	running.Go(func() { c.ensureGossipKey(ctx) })
	if err := c.config.Balancers.AwaitSync(ctx); err == nil {
		for range workers {
			running.Go(func() {
				for c.next(ctx) {
				}
			})
		}
		running.Go(func() { c.mourn(ctx) })
	}
	<-ctx.Done()
	c.queue.ShutDown()
	running.Wait()
}

// next handles one item and tells whether there may be another.
func (c *Controller) next(ctx context.Context) bool {
	work, down := c.queue.Get()
	if down {
		return false
	}
	defer c.queue.Done(work)
	if err := c.reconcile(ctx, work); err != nil && ctx.Err() == nil {
		klog.FromContext(ctx).Error(err, "reconciling failed, trying again", "kind", work.kind, "name", work.name)
		c.queue.AddRateLimited(work)
		return true
	}
	c.queue.Forget(work)
	return true
}

func (c *Controller) reconcile(ctx context.Context, work item) error {
	switch work.kind {
	case serviceKind:
		return c.reconcileService(ctx, work.name)
	case virtualIPKind:
		return c.reconcileVirtualIP(ctx, work.name)
	case poolKind:
		return c.reconcilePool(ctx, work.name)
	case roomKind:
		c.makeRoom()
	}
	return nil
}
