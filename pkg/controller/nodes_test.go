// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	cloudprovider "k8s.io/cloud-provider"
	cloudproviderapi "k8s.io/cloud-provider/api"
	nodecontroller "k8s.io/cloud-provider/controllers/node"
	controllersmetrics "k8s.io/component-base/metrics/prometheus/controllers"

	fairleadfake "github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned/fake"
	"github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions"
	listers "github.com/fairlead-io/fairlead/pkg/api/client/listers/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// inventoryCloud knows a node as soon as its announcer has reported an interface.
type inventoryCloud struct {
	cloudprovider.Interface
	known inventory
}

func (c inventoryCloud) Instances() (cloudprovider.Instances, bool)     { return nil, false }
func (c inventoryCloud) InstancesV2() (cloudprovider.InstancesV2, bool) { return c.known, true }

type inventory struct {
	cloudprovider.InstancesV2
	announcers listers.AnnouncerLister
}

func (c inventory) InstanceMetadata(_ context.Context, node *corev1.Node) (*cloudprovider.InstanceMetadata, error) {
	announcer, err := c.announcers.Get(node.Name)
	if err != nil || len(announcer.Status.Interfaces) == 0 {
		return nil, errors.New("no address is known yet")
	}
	return &cloudprovider.InstanceMetadata{
		ProviderID: "fairlead://" + node.Name, NodeAddresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}},
	}, nil
}

// TestNodeIsInitialisedWhenItsInventoryComes runs the stock node controller for so long that it would not try again for
// some time, and then lets the node's announcer report.
func TestNodeIsInitialisedWhenItsInventoryComes(t *testing.T) {
	// One of the handlers remembers when it was last called, which means nothing from one test's time to another's.
	handlers := utilruntime.ErrorHandlers
	utilruntime.ErrorHandlers = nil
	defer func() { utilruntime.ErrorHandlers = handlers }()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		kube := kubefake.NewClientset(&corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: "n1"},
			Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: cloudproviderapi.TaintExternalCloudProvider, Effect: corev1.TaintEffectNoSchedule}}},
		})
		announcer := &v1alpha1.Announcer{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
		objects := fairleadfake.NewSimpleClientset(announcer)
		core, own := informers.NewSharedInformerFactory(kube, 0), externalversions.NewSharedInformerFactory(objects, 0)
		announcers := own.Fairlead().V1alpha1().Announcers()
		stock, err := nodecontroller.NewCloudNodeController(ForStockNodes(core.Core().V1().Nodes(), announcers), kube,
			inventoryCloud{known: inventory{announcers: announcers.Lister()}}, 5*time.Minute, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		core.Start(ctx.Done())
		own.Start(ctx.Done())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			stock.RunWithContext(ctx, controllersmetrics.NewControllerManagerMetrics("test"))
		}()
		initialised := func() bool {
			synctest.Wait()
			node, err := kube.CoreV1().Nodes().Get(ctx, "n1", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return !awaitsInitialisation(node) && node.Spec.ProviderID == "fairlead://n1"
		}
		time.Sleep(30 * time.Second)
		if initialised() {
			t.Fatal("initialised before its announcer has reported")
		}
		announcer.Status.Interfaces = []v1alpha1.NodeInterface{{Name: "eth0"}}
		if _, err := objects.FairleadV1alpha1().Announcers().UpdateStatus(ctx, announcer, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if !initialised() {
			t.Error("not initialised at once when its announcer reported")
		}
		stop()
		<-ended
		core.Shutdown()
		own.Shutdown()
	})
}
