// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"sync"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	discoveryv1client "k8s.io/client-go/kubernetes/typed/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

const (
	// byService is the index of EndpointSlices by the Service they belong to.
	byService = "service"
	// withoutHeadless is what kube-proxy leaves out too: Services of type LoadBalancer are never headless.
	withoutHeadless = "!service.kubernetes.io/headless"
)

// endpointWatch knows how many ready endpoints Services have on this node, as soon as the API server does. kube-proxy
// says so too, but gathers changes for up to a second before. It starts when it is first asked for: a cluster that
// announces no Service with externalTrafficPolicy Local by BGP does without the watch.
type endpointWatch struct {
	informer cache.SharedIndexInformer
	begin    sync.Once
	tasks    sync.WaitGroup
}

// newEndpointWatch makes it; changed is called when EndpointSlices have.
func newEndpointWatch(self string, client discoveryv1client.EndpointSlicesGetter, changed func()) (*endpointWatch, error) {
	all := client.EndpointSlices(metav1.NamespaceAll)
	list := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = withoutHeadless
			return all.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = withoutHeadless
			return all.Watch(ctx, o)
		},
	}
	w := &endpointWatch{informer: cache.NewSharedIndexInformer(
		cache.ToListWatcherWithWatchListSemantics(list, client), &discoveryv1.EndpointSlice{}, 0, cache.Indexers{byService: serviceOfSlice},
	)}
	if err := w.informer.SetTransform(func(obj any) (any, error) { return onlyReadyOn(self, obj), nil }); err != nil {
		return nil, err
	}
	_, err := w.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { changed() }, UpdateFunc: func(_, _ any) { changed() }, DeleteFunc: func(any) { changed() },
	})
	return w, err
}

// start has it watch until ctx is done.
func (w *endpointWatch) start(ctx context.Context) {
	w.begin.Do(func() { w.tasks.Go(func() { w.informer.Run(ctx.Done()) }) })
}

func (w *endpointWatch) wait() { w.tasks.Wait() }

// count returns how many ready endpoints of an address type the Service has on this node; false while that is not known.
func (w *endpointWatch) count(namespace, name string, addressType discoveryv1.AddressType) (int, bool) {
	if !w.informer.HasSynced() {
		return 0, false
	}
	slices, err := w.informer.GetIndexer().ByIndex(byService, namespace+"/"+name)
	if err != nil {
		return 0, false
	}
	seen := map[string]bool{} // an endpoint may be in two slices for a moment
	for _, obj := range slices {
		slice, ok := obj.(*discoveryv1.EndpointSlice)
		if !ok || slice.AddressType != addressType {
			continue
		}
		for _, e := range slice.Endpoints {
			for _, a := range e.Addresses {
				seen[a] = true
			}
		}
	}
	return len(seen), true
}

func serviceOfSlice(obj any) ([]string, error) {
	slice, ok := obj.(*discoveryv1.EndpointSlice)
	if !ok {
		return nil, nil
	}
	return []string{slice.Namespace + "/" + slice.Labels[discoveryv1.LabelServiceName]}, nil
}

// onlyReadyOn keeps of an EndpointSlice what count reads: a cluster may have many, of a thousand endpoints each. It keeps
// the node too, for it must make the same of its own result: the informer passes what it gets at the start through twice.
func onlyReadyOn(self string, obj any) any {
	slice, ok := obj.(*discoveryv1.EndpointSlice)
	if !ok {
		return obj
	}
	small := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: slice.Namespace, Name: slice.Name, UID: slice.UID, ResourceVersion: slice.ResourceVersion,
			Labels: map[string]string{discoveryv1.LabelServiceName: slice.Labels[discoveryv1.LabelServiceName]},
		},
		AddressType: slice.AddressType,
	}
	for _, e := range slice.Endpoints {
		ready := e.Conditions.Ready == nil || *e.Conditions.Ready
		if ready && e.NodeName != nil && *e.NodeName == self && len(e.Addresses) > 0 {
			small.Endpoints = append(small.Endpoints, discoveryv1.Endpoint{Addresses: e.Addresses[:1], NodeName: e.NodeName})
		}
	}
	return small
}
