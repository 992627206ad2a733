// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// Reasons of events about how a Service is announced.
const (
	// ReasonNoNode says that no node may announce an address.
	ReasonNoNode = "NoNodeSelected"
	// ReasonNoPeer says that an address is for a BGPPeer that there is not.
	ReasonNoPeer = "NoBGPPeer"
)

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

// unannounced warns that the nodes that a Service selects are none. Those that leave, and had its addresses, go on.
func (r *Reconciler) unannounced(want settings.Settings, vips []*v1alpha1.VirtualIP) []settings.Warning {
	owned := slices.ContainsFunc(vips, func(vip *v1alpha1.VirtualIP) bool { return len(vip.Spec.Candidates) > 0 })
	if want.Address.Nodes == "" || owned || !selectsNone(r.announcerNodes(want.Address), want.Address) {
		return nil
	}
	return []settings.Warning{{Reason: ReasonNoNode, Text: strings.Join([]string{
		"annotation", want.KeyOf("nodes"), "selects no node that may announce: the address stays assigned, and nobody announces it",
	}, " ")}}
}

// unpeered warns of BGPPeers that the addresses of a Service are to be announced to, and that do not exist.
func (r *Reconciler) unpeered(want settings.Settings, vips []*v1alpha1.VirtualIP) []settings.Warning {
	said := map[string]bool{}
	var warnings []settings.Warning
	for _, vip := range vips {
		where := fmt.Sprintf("pool %q", vip.Spec.Pool)
		if len(want.Address.Peers) > 0 {
			where = "annotation " + want.KeyOf("bgp-peers")
		}
		for _, entry := range vip.Spec.Announce {
			if entry.BGP == nil {
				continue
			}
			for _, name := range entry.BGP.Peers {
				text := fmt.Sprintf("%s names the BGPPeer %q, and there is none of this name: nothing is announced to it", where, name)
				if _, err := r.config.Objects.BGPPeers().Lister().Get(name); err == nil || said[text] {
					continue
				}
				said[text] = true
				warnings = append(warnings, settings.Warning{Reason: ReasonNoPeer, Text: text})
			}
		}
	}
	return warnings
}
