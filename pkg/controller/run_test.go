// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"
	"k8s.io/component-base/metrics/legacyregistry"

	fairleadfake "github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned/fake"
	"github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions"
	"github.com/fairlead-io/fairlead/pkg/cloudconfig"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
)

// TestRunEndsWithItsContext: Run returns when its context is done, and leaves no goroutine behind (see TestMain).
func TestRunEndsWithItsContext(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead-system", Name: gossipSecret}}
	kube, objects := kubefake.NewClientset(secret), fairleadfake.NewClientset()
	core, own := informers.NewSharedInformerFactory(kube, 0), externalversions.NewSharedInformerFactory(objects, 0)
	balancers := loadbalancer.New(loadbalancer.Config{
		Client: objects, Objects: own.Fairlead().V1alpha1(),
		Nodes: core.Core().V1().Nodes(), Services: core.Core().V1().Services(),
		Namespaces: core.Core().V1().Namespaces(), EndpointSlices: core.Discovery().V1().EndpointSlices(),
	})
	c := New(Config{
		Balancers: balancers, Kube: kube, Client: objects, Objects: own.Fairlead().V1alpha1(), Informers: core,
		Namespace: "fairlead-system", Events: record.NewFakeRecorder(10), Classless: true, DeadNodeEndpoints: cloudconfig.DeadNodeMarkNotReady,
	})
	ctx, cancel := context.WithCancel(t.Context())
	core.Start(ctx.Done())
	own.Start(ctx.Done())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Run(ctx)
	}()
	if err := balancers.AwaitSync(ctx); err != nil {
		t.Error(err)
	}
	awaitMetric(t, "fairlead_allocation_duration_seconds")
	cancel()
	<-ended
	core.Shutdown()
	own.Shutdown()
}

// awaitMetric waits until the process exports a metric.
func awaitMetric(t *testing.T, name string) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		families, err := legacyregistry.DefaultGatherer.Gather()
		for _, family := range families {
			if family.GetName() == name {
				return true, nil
			}
		}
		return false, err
	})
	if err != nil {
		t.Errorf("metric %s: %v", name, err)
	}
}
