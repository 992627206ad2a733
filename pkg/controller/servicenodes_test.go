// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
	cloudprovider "k8s.io/cloud-provider"
	servicecontroller "k8s.io/cloud-provider/controllers/service"
	"k8s.io/component-base/featuregate"
	controllersmetrics "k8s.io/component-base/metrics/prometheus/controllers"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// oneAddressCloud gives every Service the same address.
type oneAddressCloud struct{ cloudprovider.Interface }

func (oneAddressCloud) LoadBalancer() (cloudprovider.LoadBalancer, bool) { return oneAddress{}, true }

type oneAddress struct{ cloudprovider.LoadBalancer }

func (oneAddress) EnsureLoadBalancer(context.Context, string, *corev1.Service, []*corev1.Node) (*corev1.LoadBalancerStatus, error) {
	return &corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}}, nil
}

// TestNodesThatAreLeftOutWarnOfNothing runs the stock service controller in clusters of one node, which announces or hands
// over in spite of what the stock controller thinks of it.
func TestNodesThatAreLeftOutWarnOfNothing(t *testing.T) {
	for _, test := range []struct {
		name string
		node corev1.Node
	}{
		{"without a mark", corev1.Node{}},
		{"exclude label", corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{corev1.LabelNodeExcludeBalancers: ""}}}},
		{"scale down", corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: v1alpha1.ScaleDownTaint}}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.node.Name = "n1"
			if got := stockEvents(t, &test.node); !slices.Equal(got, []string{"EnsuringLoadBalancer", "EnsuredLoadBalancer"}) {
				t.Errorf("events %q", got)
			}
		})
	}
}

// stockEvents returns the reasons of the events that the stock service controller sends while it serves a Service.
func stockEvents(t *testing.T, node *corev1.Node) (reasons []string) {
	// One of the handlers remembers when it was last called, which means nothing from one test's time to another's.
	handlers := utilruntime.ErrorHandlers
	utilruntime.ErrorHandlers = nil
	defer func() { utilruntime.ErrorHandlers = handlers }()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		kube := fake.NewClientset(node)
		core := informers.NewSharedInformerFactory(kube, 0)
		stock, err := servicecontroller.New(oneAddressCloud{}, kube, core.Core().V1().Services(),
			ForStockServiceNodes(core.Core().V1().Nodes()), "test", featuregate.NewFeatureGate())
		if err != nil {
			t.Fatal(err)
		}
		core.Start(ctx.Done())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			stock.Run(ctx, 1, controllersmetrics.NewControllerManagerMetrics("test"))
		}()
		time.Sleep(10 * time.Second) // of the test's own clock: the stock controller has looked at the node and begins with nothing else
		service := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer},
		}
		if _, err := kube.CoreV1().Services("default").Create(ctx, service, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, action := range kube.Actions() {
			if made, ok := action.(ktesting.CreateAction); ok && made.GetResource().Resource == "events" {
				reasons = append(reasons, made.GetObject().(*corev1.Event).Reason)
			}
		}
		stop()
		<-ended
		core.Shutdown()
	})
	return reasons
}
