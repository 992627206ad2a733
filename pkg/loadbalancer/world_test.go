// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"github.com/fairlead-io/fairlead/pkg/api/apitest"
	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned/fake"
	"github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// world is a Reconciler with an API server of its own.
type world struct {
	*testing.T
	*Reconciler
	api    *fake.Clientset
	kube   *kubefake.Clientset
	events *record.FakeRecorder
}

// newWorld returns a world in which there are pools and reservations.
func newWorld(t *testing.T, objects ...runtime.Object) *world {
	t.Helper()
	w := &world{T: t, api: fake.NewSimpleClientset(objects...), kube: kubefake.NewClientset(), events: record.NewFakeRecorder(100)}
	apitest.KeepMetadata(w.api)
	core, own := informers.NewSharedInformerFactory(w.kube, 0), externalversions.NewSharedInformerFactory(w.api, 0)
	w.Reconciler = New(Config{
		Client: w.api, Objects: own.Fairlead().V1alpha1(), Events: w.events,
		Nodes: core.Core().V1().Nodes(), Services: core.Core().V1().Services(),
		Namespaces: core.Core().V1().Namespaces(), EndpointSlices: core.Discovery().V1().EndpointSlices(),
	})
	core.Start(t.Context().Done())
	own.Start(t.Context().Done())
	t.Cleanup(core.Shutdown)
	t.Cleanup(own.Shutdown)
	if err := w.AwaitSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// gets lets a Service ask, checks which addresses it has then, and puts them into its status.
func (w *world) gets(service *corev1.Service, want ...string) {
	w.Helper()
	status, err := w.Ensure(w.Context(), service)
	if err != nil {
		w.Fatalf("%s/%s: %v", service.Namespace, service.Name, err)
	}
	var got []string
	for _, ingress := range status.Ingress {
		got = append(got, ingress.IP)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("addresses of %s/%s (-want +got):\n%s", service.Namespace, service.Name, diff)
	}
	service.Status.LoadBalancer = *status
}

// vip returns the VirtualIP of that name as the API server has it.
func (w *world) vip(name string) *v1alpha1.VirtualIP {
	w.Helper()
	vip, err := w.api.FairleadV1alpha1().VirtualIPs().Get(w.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return vip
}

// poolOf returns a pool that keeps released addresses for a minute.
func poolOf(name, addresses string, edits ...func(*v1alpha1.AddressPoolSpec)) *v1alpha1.AddressPool {
	pool := &v1alpha1.AddressPool{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.AddressPoolSpec{
		Addresses:    []v1alpha1.AddressRange{v1alpha1.AddressRange(addresses)},
		ReleaseDelay: &metav1.Duration{Duration: time.Minute},
		Announce:     []v1alpha1.Announcement{{L2: &v1alpha1.L2Announcement{}}},
	}}
	for _, edit := range edits {
		edit(&pool.Spec)
	}
	return pool
}

// reservation returns a VirtualIP as a user makes it.
func reservation(address, pool, id string) *v1alpha1.VirtualIP {
	return &v1alpha1.VirtualIP{
		ObjectMeta: metav1.ObjectMeta{Name: address, UID: types.UID(address)},
		Spec:       v1alpha1.VirtualIPSpec{Address: address, Pool: pool, ID: id, ReclaimPolicy: v1alpha1.ReclaimRetain},
	}
}

// balanced returns a Service with one TCP port. annotations are keys and values in turn.
func balanced(namespace, name string, port int32, annotations ...string) *corev1.Service {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: types.UID(namespace + "/" + name), Annotations: map[string]string{},
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
			Ports: []corev1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: port}},
		},
	}
	for i := 0; i < len(annotations); i += 2 {
		service.Annotations[annotations[i]] = annotations[i+1]
	}
	return service
}

// again returns the Service as it is after a deletion, made anew under its name.
func again(service *corev1.Service) *corev1.Service {
	made := service.DeepCopy()
	made.UID += "-again"
	made.Status = corev1.ServiceStatus{}
	return made
}

// editPool changes a pool, and returns when the Reconciler knows of it.
func (w *world) editPool(name string, edit func(*v1alpha1.AddressPoolSpec)) {
	w.Helper()
	pools := w.api.FairleadV1alpha1().AddressPools()
	pool, err := pools.Get(w.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	edit(&pool.Spec)
	if _, err := pools.Update(w.Context(), pool, metav1.UpdateOptions{}); err != nil {
		w.Fatal(err)
	}
	w.knows(func() bool { return apiequality.Semantic.DeepEqual(w.pool(name).Spec, pool.Spec) })
	w.refreshPools()
}
