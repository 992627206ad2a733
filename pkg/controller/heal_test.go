// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	fairleadfake "github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned/fake"
	"github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

// world is a Controller that runs, on an API server of objects in memory. It lives in a synctest bubble.
type world struct {
	*testing.T
	*Controller
	kube    *kubefake.Clientset
	objects *fairleadfake.Clientset
	events  *record.FakeRecorder
}

// newWorld returns a world with a pool of the addresses, and runs its Controller until the test ends.
func newWorld(t *testing.T, addresses string) *world {
	t.Helper()
	pool := &v1alpha1.AddressPool{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1alpha1.AddressPoolSpec{
		Addresses: []v1alpha1.AddressRange{v1alpha1.AddressRange(addresses)},
		Announce:  []v1alpha1.Announcement{{L2: &v1alpha1.L2Announcement{}}},
	}}
	w := &world{T: t, kube: kubefake.NewClientset(), objects: fairleadfake.NewSimpleClientset(pool), events: record.NewFakeRecorder(100)}
	var made atomic.Int64
	w.objects.PrependReactor("create", "virtualips", func(action ktesting.Action) (bool, runtime.Object, error) {
		action.(ktesting.CreateAction).GetObject().(*v1alpha1.VirtualIP).UID = types.UID(fmt.Sprint("vip-", made.Add(1)))
		return false, nil, nil
	})
	core, own := informers.NewSharedInformerFactory(w.kube, 0), externalversions.NewSharedInformerFactory(w.objects, 0)
	w.Controller = New(Config{
		Balancers: loadbalancer.New(loadbalancer.Config{
			Client: w.objects, Objects: own.Fairlead().V1alpha1(), Events: w.events,
			Nodes: core.Core().V1().Nodes(), Services: core.Core().V1().Services(),
			Namespaces: core.Core().V1().Namespaces(), EndpointSlices: core.Discovery().V1().EndpointSlices(),
		}),
		Kube: w.kube, Client: w.objects, Objects: own.Fairlead().V1alpha1(), Informers: core,
		Namespace: "fairlead-system", Events: w.events,
	})
	ctx, cancel := context.WithCancel(t.Context())
	core.Start(ctx.Done())
	own.Start(ctx.Done())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Controller.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		core.Shutdown()
		own.Shutdown()
	})
	if err := w.config.Balancers.AwaitSync(ctx); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return w
}

// create makes a Service of our class with one TCP port.
func (w *world) create(name string, port int32) *corev1.Service {
	w.Helper()
	service, err := w.kube.CoreV1().Services("ns").Create(w.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name)},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, LoadBalancerClass: new(v1alpha1.LoadBalancerClass),
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, Ports: []corev1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: port}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		w.Fatal(err)
	}
	synctest.Wait()
	return service
}

// deleteByHand deletes a VirtualIP as a user would, and waits until nothing more happens at this time.
func (w *world) deleteByHand(name string) {
	w.Helper()
	if err := w.objects.FairleadV1alpha1().VirtualIPs().Delete(w.Context(), name, metav1.DeleteOptions{}); err != nil {
		w.Fatal(err)
	}
	synctest.Wait()
}

// wantHolder checks that a VirtualIP is there, with a claim of the Service alone.
func (w *world) wantHolder(address, service string) {
	w.Helper()
	vip, err := w.objects.FairleadV1alpha1().VirtualIPs().Get(w.Context(), address, metav1.GetOptions{})
	if err != nil {
		w.Error(err)
		return
	}
	if len(vip.Spec.Services) != 1 || vip.Spec.Services[0].Name != service {
		w.Errorf("VirtualIP %s has claims %+v, want one of %s", address, vip.Spec.Services, service)
	}
}

// TestVirtualIPDeletedByHandComesBackHoweverLateItIsKnown holds up the news of a deletion on its way to what is known of
// addresses. The Service must not be looked at before that: it would be found in order, and never be looked at again.
func TestVirtualIPDeletedByHandComesBackHoweverLateItIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "10.0.0.1-10.0.0.9")
		w.create("a", 80)
		w.create("b", 80)
		w.wantHolder("10.0.0.1", "a")
		w.wantHolder("10.0.0.2", "b")
		busy := make(chan struct{})
		w.config.Balancers.NotifyRoom(func() { <-busy })
		w.deleteByHand("10.0.0.1")
		w.deleteByHand("10.0.0.2")
		close(busy)
		synctest.Wait()
		w.wantHolder("10.0.0.1", "a")
		w.wantHolder("10.0.0.2", "b")
	})
}
