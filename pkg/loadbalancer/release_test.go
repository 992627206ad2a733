// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned/fake"
	"github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// TestReservationEndsWhileOthersWrite lets somebody write a VirtualIP just before it is deleted. An announcer's report does
// not keep it: no event would lead to a second try. A claim does.
func TestReservationEndsWhileOthersWrite(t *testing.T) {
	reserved := &v1alpha1.VirtualIP{
		ObjectMeta: metav1.ObjectMeta{Name: "192.0.2.1", UID: "this", Generation: 2, ResourceVersion: "5"},
		Spec: v1alpha1.VirtualIPSpec{
			Address: "192.0.2.1", ReservedFor: &v1alpha1.ReservedFor{Namespace: "default", Name: "web", Until: new(metav1.Now())},
		},
	}
	for _, test := range []struct {
		name  string
		write func(*v1alpha1.VirtualIP)
		gone  bool
	}{
		{name: "nobody", gone: true},
		{name: "an announcer", write: func(vip *v1alpha1.VirtualIP) { vip.Status.Node = "n1" }, gone: true},
		{name: "a claim", write: func(vip *v1alpha1.VirtualIP) { vip.Spec.ReservedFor, vip.Generation = nil, 3 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := fake.NewClientset(reserved.DeepCopy())
			write := test.write
			api.PrependReactor("delete", "virtualips", func(action ktesting.Action) (bool, runtime.Object, error) {
				live, err := api.Tracker().Get(action.GetResource(), "", reserved.Name)
				if err != nil {
					return true, nil, err
				}
				vip := live.(*v1alpha1.VirtualIP).DeepCopy()
				if write != nil {
					write(vip)
					vip.ResourceVersion, write = "6", nil
					if err := api.Tracker().Update(action.GetResource(), vip, ""); err != nil {
						return true, nil, err
					}
				}
				told := action.(ktesting.DeleteAction).GetDeleteOptions().Preconditions
				if *told.UID != vip.UID || *told.ResourceVersion != vip.ResourceVersion {
					return true, nil, apierrors.NewConflict(action.GetResource().GroupResource(), vip.Name, nil)
				}
				return false, nil, nil // the tracker deletes it
			})
			if err := reconcilerOf(api, NodeRules{}).EndReservation(t.Context(), reserved); err != nil {
				t.Fatal(err)
			}
			_, err := api.FairleadV1alpha1().VirtualIPs().Get(t.Context(), reserved.Name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) != test.gone {
				t.Errorf("reading the VirtualIP afterwards: %v, want it gone: %t", err, test.gone)
			}
		})
	}
}

// TestANewVirtualIPIsComplete looks at a VirtualIP as it is made as the next look at it would: there is nothing to write.
func TestANewVirtualIPIsComplete(t *testing.T) {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "this"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}}},
	}
	for _, rules := range []NodeRules{{}, {LeaveOnCordon: true}, {IgnoreExcludeLabel: true}} {
		r := reconcilerOf(fake.NewClientset(), rules)
		made, err := r.newVirtualIP(service, settings.Settings{}, ipam.Choice{Address: netip.MustParseAddr("192.0.2.1"), Pool: "main"})
		if err != nil {
			t.Fatal(err)
		}
		later := made.DeepCopy()
		if err := r.setAnnounce(&later.Spec, wishes(&later.Spec)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(made.Spec, later.Spec); diff != "" {
			t.Errorf("%+v: the next look changes it (-made +later):\n%s", rules, diff)
		}
	}
}

func reconcilerOf(api *fake.Clientset, rules NodeRules) *Reconciler {
	core, own := informers.NewSharedInformerFactory(kubefake.NewClientset(), 0), externalversions.NewSharedInformerFactory(api, 0)
	return New(Config{
		Client: api, Rules: rules, Objects: own.Fairlead().V1alpha1(),
		Nodes: core.Core().V1().Nodes(), Services: core.Core().V1().Services(),
		Namespaces: core.Core().V1().Namespaces(), EndpointSlices: core.Discovery().V1().EndpointSlices(),
	})
}
