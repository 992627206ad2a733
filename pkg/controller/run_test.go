// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	fairleadfake "github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned/fake"
	"github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions"
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
		Namespace: "fairlead-system", Events: record.NewFakeRecorder(10), Classless: true, MarkDeadNodes: true,
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
	cancel()
	<-ended
	core.Shutdown()
	own.Shutdown()
}
