// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/fairlead-io/fairlead/pkg/api/apitest"
	fairleadfake "github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned/fake"
	"github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// world is a Controller that runs, on an API server of objects in memory. It lives in a synctest bubble.
type world struct {
	*testing.T
	*Controller
	kube    *kubefake.Clientset
	objects *fairleadfake.Clientset
	events  *record.FakeRecorder
}

// newWorld returns a world with a pool of the addresses, and Services or VirtualIPs from before, and runs its Controller
// until the test ends. As in the manager, all VirtualIPs are known before there is a Controller.
func newWorld(t *testing.T, addresses string, before ...runtime.Object) *world {
	t.Helper()
	pool := &v1alpha1.AddressPool{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1alpha1.AddressPoolSpec{
		Addresses: []v1alpha1.AddressRange{v1alpha1.AddressRange(addresses)},
		Announce:  []v1alpha1.Announcement{{L2: &v1alpha1.L2Announcement{}}},
	}}
	w := &world{T: t, kube: kubefake.NewClientset(), objects: fairleadfake.NewSimpleClientset(pool), events: record.NewFakeRecorder(100)}
	for _, object := range before {
		tracker := w.objects.Tracker()
		if _, ok := object.(*corev1.Service); ok {
			tracker = w.kube.Tracker()
		}
		if err := tracker.Add(object); err != nil {
			t.Fatal(err)
		}
	}
	apitest.KeepMetadata(w.objects)
	core, own := informers.NewSharedInformerFactory(w.kube, 0), externalversions.NewSharedInformerFactory(w.objects, 0)
	balancers := loadbalancer.New(loadbalancer.Config{
		Client: w.objects, Objects: own.Fairlead().V1alpha1(), Events: w.events,
		Nodes: core.Core().V1().Nodes(), Services: core.Core().V1().Services(),
		Namespaces: core.Core().V1().Namespaces(), EndpointSlices: core.Discovery().V1().EndpointSlices(),
	})
	ctx, cancel := context.WithCancel(t.Context())
	own.Start(ctx.Done())
	synctest.Wait()
	w.Controller = New(Config{
		Balancers: balancers, Kube: w.kube, Client: w.objects, Objects: own.Fairlead().V1alpha1(), Informers: core,
		Namespace: "fairlead-system", Events: w.events,
	})
	core.Start(ctx.Done())
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

// create makes a Service of our class with one TCP port. annotations are keys and values in turn.
func (w *world) create(name string, port int32, annotations ...string) {
	w.Helper()
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name)},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, LoadBalancerClass: new(v1alpha1.LoadBalancerClass),
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, Ports: []corev1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: port}},
		},
	}
	for i := 0; i < len(annotations); i += 2 {
		metav1.SetMetaDataAnnotation(&service.ObjectMeta, annotations[i], annotations[i+1])
	}
	if _, err := w.kube.CoreV1().Services("ns").Create(w.Context(), service, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	synctest.Wait()
}

// look has the Controller look at a Service.
func (w *world) look(name string) {
	w.add(serviceKind, loadbalancer.Key("ns", name))
	synctest.Wait()
}

// deleteByHand deletes a VirtualIP as a user would, and waits until nothing more happens at this time.
func (w *world) deleteByHand(name string) {
	w.Helper()
	if err := w.objects.FairleadV1alpha1().VirtualIPs().Delete(w.Context(), name, metav1.DeleteOptions{}); err != nil {
		w.Fatal(err)
	}
	synctest.Wait()
}

// wantHolders checks which Services have claims on a VirtualIP, the oldest first.
func (w *world) wantHolders(address string, want ...string) {
	w.Helper()
	vip, err := w.objects.FairleadV1alpha1().VirtualIPs().Get(w.Context(), address, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		vip = &v1alpha1.VirtualIP{}
	} else if err != nil {
		w.Fatal(err)
	}
	var got []string
	for _, claim := range vip.Spec.Services {
		got = append(got, claim.Name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("claims on VirtualIP %s (-want +got):\n%s", address, diff)
	}
}

// TestVirtualIPDeletedByHandComesBackHoweverLateItIsKnown holds up the news of a deletion on its way to what is known of
// addresses. The Service must not be looked at before that: it would be found in order, and never be looked at again.
func TestVirtualIPDeletedByHandComesBackHoweverLateItIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "10.0.0.1-10.0.0.9")
		w.create("a", 80)
		w.create("b", 80)
		w.wantHolders("10.0.0.1", "a")
		w.wantHolders("10.0.0.2", "b")
		busy := make(chan struct{})
		w.config.Balancers.NotifyRoom(func() { <-busy })
		w.deleteByHand("10.0.0.1")
		w.deleteByHand("10.0.0.2")
		close(busy)
		synctest.Wait()
		w.wantHolders("10.0.0.1", "a")
		w.wantHolders("10.0.0.2", "b")
	})
}

// TestVirtualIPDeletedByHandStaysItsServices lets everybody who waits be quicker than the Services whose address it is.
func TestVirtualIPDeletedByHandStaysItsServices(t *testing.T) {
	for _, test := range []struct {
		name   string
		key    string
		owners []string
	}{
		{"one", "", []string{"a"}},
		{"two that share it", "dns", []string{"a", "b"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "10.0.0.1")
				for i, owner := range test.owners {
					w.create(owner, int32(80+i), settings.SharingKeyKey, test.key)
				}
				w.create("waiting", 80)
				w.wantHolders("10.0.0.1", test.owners...)

				w.config.Balancers.FollowVirtualIPs(cache.ResourceEventHandlerFuncs{}) // nobody wakes the owners
				w.deleteByHand("10.0.0.1")
				w.look("waiting")
				w.wantHolders("10.0.0.1")
				slices.Reverse(test.owners)
				for _, owner := range test.owners {
					w.look(owner)
				}
				w.wantHolders("10.0.0.1", test.owners...)
			})
		})
	}
}

// TestAnAddressThatIsShownIsNobodyElses takes away the VirtualIP of a Service that cannot claim its address back, and lets
// any time pass. Once the Service is gone, who waits has it.
func TestAnAddressThatIsShownIsNobodyElses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "10.0.0.1")
		w.create("a", 80)
		time.Sleep(settle)
		w.edit("a", func(service *corev1.Service) {
			service.Annotations = map[string]string{settings.AddressesPerFamilyKey: "many"}
		})
		w.create("waiting", 80)
		w.deleteByHand("10.0.0.1")
		time.Sleep(time.Hour)
		w.wantHolders("10.0.0.1")
		w.edit("a", func(service *corev1.Service) { service.Annotations = nil })
		w.wantHolders("10.0.0.1", "a")

		w.edit("a", func(service *corev1.Service) {
			service.Annotations = map[string]string{settings.AddressesPerFamilyKey: "many"}
		})
		w.deleteByHand("10.0.0.1")
		if err := w.kube.CoreV1().Services("ns").Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Minute) // its address is kept no longer than 10
		w.wantHolders("10.0.0.1", "waiting")
	})
}
