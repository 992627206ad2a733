// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned/scheme"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

const (
	// eventsPerSecond and eventBurst of one node: a takeover of thousands of addresses is told by the first few
	// events, and by the status of each address.
	eventsPerSecond = 1
	eventBurst      = 25
)

// Reasons of events that no condition has.
const (
	// reasonFallback: an address is announced where nothing says that it belongs.
	reasonFallback = "NoSubnetForAddress"
	// reasonRival: two nodes of the cluster announce an address.
	reasonRival = "AnnouncedTwice"
	// reasonFailsEverywhere: no node passes a Service's health check.
	reasonFailsEverywhere = "HealthCheckFailsEverywhere"
)

// eventWriter writes Kubernetes events on VirtualIPs and on the Services that use them. First announcements have none:
// their status says it, and events cost as much as the status does.
type eventWriter struct {
	recorder record.EventRecorder
	pace     flowcontrol.RateLimiter
	metrics  *agentMetrics
}

func newEventWriter(r record.EventRecorder, m *agentMetrics) *eventWriter {
	return &eventWriter{recorder: r, pace: flowcontrol.NewTokenBucketRateLimiter(eventsPerSecond, eventBurst), metrics: m}
}

func (w *eventWriter) takeover(vip *v1alpha1.VirtualIP, text string) {
	w.write(vip, corev1.EventTypeNormal, reasonAnnouncing, text)
}

func (w *eventWriter) conflict(vip *v1alpha1.VirtualIP, text string) {
	w.write(vip, corev1.EventTypeWarning, reasonInUse, text)
}

// fallback warns that an address is announced on the interface with the default route.
func (w *eventWriter) fallback(vip *v1alpha1.VirtualIP, text string) {
	w.write(vip, corev1.EventTypeWarning, reasonFallback, text)
}

// rival warns that two nodes of the cluster announce an address.
func (w *eventWriter) rival(vip *v1alpha1.VirtualIP, text string) {
	w.write(vip, corev1.EventTypeWarning, reasonRival, text)
}

// failsEverywhere warns that an address is announced against its health check.
func (w *eventWriter) failsEverywhere(vip *v1alpha1.VirtualIP, service, text string) {
	w.record(vip, corev1.EventTypeWarning, reasonFailsEverywhere, text)
	for i := range vip.Spec.Services {
		if c := &vip.Spec.Services[i]; c.Namespace+"/"+c.Name == service {
			w.record(serviceOf(c), corev1.EventTypeWarning, reasonFailsEverywhere, text)
		}
	}
}

func (w *eventWriter) write(vip *v1alpha1.VirtualIP, kind, reason, text string) {
	w.record(vip, kind, reason, text)
	for i := range vip.Spec.Services {
		w.record(serviceOf(&vip.Spec.Services[i]), kind, reason, text)
	}
}

func serviceOf(c *v1alpha1.ServiceClaim) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: corev1.SchemeGroupVersion.Version, Kind: "Service", Namespace: c.Namespace, Name: c.Name, UID: c.UID,
	}
}

func (w *eventWriter) record(about runtime.Object, kind, reason, text string) {
	if !w.pace.TryAccept() {
		w.metrics.eventsDropped.Inc()
		return
	}
	w.recorder.Event(about, kind, reason, text)
}

// startEvents makes a recorder whose events are written until ctx is done.
func (p *parts) startEvents(ctx context.Context) record.EventRecorder {
	b := record.NewBroadcaster(record.WithContext(ctx))
	b.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: p.clients.Core.Events("")})
	p.tasks.Go(func() {
		<-ctx.Done()
		b.Shutdown()
	})
	return b.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "fairlead-announcer", Host: p.cfg.NodeName})
}
