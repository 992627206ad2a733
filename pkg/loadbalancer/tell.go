// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"

	"github.com/fairlead-io/fairlead/pkg/settings"
)

// ReasonNoNode is the reason of the event that says that no node may announce an address.
const ReasonNoNode = "NoNodeSelected"

// teller sends warnings as events, all of one reason in one, and each text once while it holds.
type teller struct {
	events record.EventRecorder // nil tells nobody

	mu   sync.Mutex
	said map[types.UID]map[string]string // by Service, the last text of each reason
	errs map[types.UID]string            // by Service, the last error
}

func newTeller(events record.EventRecorder) *teller {
	return &teller{events: events, said: map[types.UID]map[string]string{}, errs: map[types.UID]string{}}
}

// tell sends what was not said before.
func (t *teller) tell(service *corev1.Service, warnings []settings.Warning) {
	texts := map[string]string{}
	for _, warning := range warnings {
		if text, ok := texts[warning.Reason]; ok {
			texts[warning.Reason] = text + "; " + warning.Text
		} else {
			texts[warning.Reason] = warning.Text
		}
	}
	t.mu.Lock()
	said := t.said[service.UID]
	if len(texts) == 0 {
		delete(t.said, service.UID)
	} else {
		t.said[service.UID] = texts
	}
	t.mu.Unlock()
	if t.events == nil {
		return
	}
	for _, reason := range slices.Sorted(maps.Keys(texts)) {
		if said[reason] != texts[reason] {
			t.events.Event(service, corev1.EventTypeWarning, reason, texts[reason])
		}
	}
}

// forget drops what was said of a Service that is gone.
func (t *teller) forget(uid types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.said, uid)
	delete(t.errs, uid)
}

// mended forgets the error of a Service that has none any more.
func (t *teller) mended(uid types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.errs, uid)
}

// Told records that the owner of a Service is being told of an error, and reports whether that is news. The stock service
// controller and the one of pkg/controller meet the same errors, and one event is enough.
func (r *Reconciler) Told(service *corev1.Service, err error) (news bool) {
	r.teller.mu.Lock()
	defer r.teller.mu.Unlock()
	text := err.Error()
	news = r.teller.errs[service.UID] != text
	r.teller.errs[service.UID] = text
	return news
}

// unannounced warns that the nodes that a Service selects are none.
func (r *Reconciler) unannounced(want settings.Settings) []settings.Warning {
	if want.Address.Nodes == "" || !selectsNone(r.announcerNodes(want.Address), want.Address) {
		return nil
	}
	return []settings.Warning{{Reason: ReasonNoNode, Text: strings.Join([]string{
		"annotation", want.KeyOf("nodes"), "selects no node that may announce: the address stays assigned, and nobody announces it",
	}, " ")}}
}
