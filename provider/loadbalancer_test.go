// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	cloudprovider "k8s.io/cloud-provider"

	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned/fake"
	"github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

// TestOnlyServicesOfOursAreServed asks for what the stock service controller asks for by itself: once more for a Service
// that could not be served and was given to another controller then, and, when nodes change, for one as it was last, which
// may be gone by now. Nobody would give back what these got.
func TestOnlyServicesOfOursAreServed(t *testing.T) {
	ensure := func(l loadBalancers, service *corev1.Service) error {
		_, err := l.EnsureLoadBalancer(t.Context(), "", service, nil)
		return err
	}
	for _, test := range []struct {
		name        string
		annotations map[string]string
		ask         func(loadBalancers, *corev1.Service) error
		want        error // compared as the service controller does
		claims      int
	}{
		{name: "one of ours", ask: ensure, claims: 1},
		{name: "one of another controller", annotations: map[string]string{v1alpha1.ElsewhereKey: "other"}, ask: ensure, want: cloudprovider.ImplementedElsewhere},
		{
			name: "one as it was last", want: cloudprovider.ImplementedElsewhere,
			ask: func(l loadBalancers, service *corev1.Service) error {
				return l.UpdateLoadBalancer(t.Context(), "", service, nil)
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := fake.NewSimpleClientset(&v1alpha1.AddressPool{
				ObjectMeta: metav1.ObjectMeta{Name: "p"},
				Spec: v1alpha1.AddressPoolSpec{
					Addresses: []v1alpha1.AddressRange{"192.0.2.1"}, Announce: []v1alpha1.Announcement{{L2: &v1alpha1.L2Announcement{}}},
				},
			})
			core, own := informers.NewSharedInformerFactory(kubefake.NewClientset(), 0), externalversions.NewSharedInformerFactory(api, 0)
			balancers := loadBalancers{loadbalancer.New(loadbalancer.Config{
				Client: api, Objects: own.Fairlead().V1alpha1(), Nodes: core.Core().V1().Nodes(), Services: core.Core().V1().Services(),
				Namespaces: core.Core().V1().Namespaces(), EndpointSlices: core.Discovery().V1().EndpointSlices(),
			})}
			core.Start(t.Context().Done())
			own.Start(t.Context().Done())
			service := &corev1.Service{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "this", Annotations: test.annotations},
				Spec: corev1.ServiceSpec{
					Type: corev1.ServiceTypeLoadBalancer, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
					Ports: []corev1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80}},
				},
			}
			if err := test.ask(balancers, service); err != test.want { //nolint:errorlint // wrapped, it is another one there
				t.Errorf("%v, want %v", err, test.want)
			}
			vips, err := api.FairleadV1alpha1().VirtualIPs().List(t.Context(), metav1.ListOptions{})
			if err != nil || len(vips.Items) != test.claims {
				t.Errorf("%d VirtualIPs (%v), want %d", len(vips.Items), err, test.claims)
			}
		})
	}
}
