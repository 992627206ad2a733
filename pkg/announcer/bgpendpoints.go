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
	self     string
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
	w := &endpointWatch{self: self, informer: cache.NewSharedIndexInformer(
		cache.ToListWatcherWithWatchListSemantics(list, client), &discoveryv1.EndpointSlice{}, 0, cache.Indexers{byService: serviceOfSlice},
	)}
	if err := w.informer.SetTransform(func(obj any) (any, error) { return onlyReady(self, obj), nil }); err != nil {
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
	seen := map[string]bool{} // an endpoint may be in two slices for a moment
	known := w.each(namespace, name, addressType, func(e discoveryv1.Endpoint) {
		if *e.NodeName == w.self {
			seen[e.Addresses[0]] = true
		}
	})
	return len(seen), known
}

// elsewhere tells whether the Service has a ready endpoint of an address type on another node; true while that is not known.
func (w *endpointWatch) elsewhere(namespace, name string, addressType discoveryv1.AddressType) bool {
	found := false
	known := w.each(namespace, name, addressType, func(e discoveryv1.Endpoint) { found = found || *e.NodeName != w.self })
	return found || !known
}

// each calls f with what onlyReady keeps of a Service's endpoints, and returns false where that is not known yet.
func (w *endpointWatch) each(namespace, name string, addressType discoveryv1.AddressType, f func(discoveryv1.Endpoint)) bool {
	if !w.informer.HasSynced() {
		return false
	}
	slices, err := w.informer.GetIndexer().ByIndex(byService, namespace+"/"+name)
	if err != nil {
		return false
	}
	for _, obj := range slices {
		slice, ok := obj.(*discoveryv1.EndpointSlice)
		if !ok || slice.AddressType != addressType {
			continue
		}
		for _, e := range slice.Endpoints {
			f(e)
		}
	}
	return true
}

func serviceOfSlice(obj any) ([]string, error) {
	slice, ok := obj.(*discoveryv1.EndpointSlice)
	if !ok {
		return nil, nil
	}
	return []string{slice.Namespace + "/" + slice.Labels[discoveryv1.LabelServiceName]}, nil
}

// onlyReady keeps of an EndpointSlice what count and elsewhere read, the ready endpoints on this node and one on another: a
// cluster may have many slices, of a thousand endpoints each. It must make the same of its own result: the informer passes
// what it gets at the start through twice.
func onlyReady(self string, obj any) any {
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
	others := false
	for _, e := range slice.Endpoints {
		ready := e.Conditions.Ready == nil || *e.Conditions.Ready
		if !ready || e.NodeName == nil || len(e.Addresses) == 0 {
			continue
		}
		here := *e.NodeName == self
		if here || !others {
			others = others || !here
			small.Endpoints = append(small.Endpoints, discoveryv1.Endpoint{Addresses: e.Addresses[:1], NodeName: e.NodeName})
		}
	}
	return small
}
