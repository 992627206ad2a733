// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// Reasons of the conditions on a VirtualIP.
const (
	reasonAnnouncing = "Announcing"
	reasonWithdrawn  = "Withdrawn"
	reasonInUse      = "AddressInUse"
	reasonNoConflict = "NoConflict"
	reasonPasses     = "HealthCheckPasses"
	reasonFails      = "HealthCheckFails"
)

// vipFacts is what this node has to say about one address; the zero value says that it has no part in it.
type vipFacts struct {
	// announcing: this node answers for the address, since then, under this term and epoch.
	announcing  bool
	since       time.Time
	term, epoch int64
	// owner is the node that holds the address as far as this one knows, "" if nobody does.
	owner string
	// why it is no longer announced here.
	why string
	// health is what the probes say on this node.
	health condition
	// routed is what to tell of the health of an address that nobody announces on layer 2.
	routed routeHealth
	// conflict describes another station that uses the address; "" when none is known.
	conflict string
}

// desiredStatus returns what the status should become in the light of what this node knows. It changes nothing that is
// another node's: without the address this node only clears its own name, and only if nobody followed it, since a
// follower writes its own.
func desiredStatus(self string, old v1alpha1.VirtualIPStatus, f vipFacts, now time.Time) v1alpha1.VirtualIPStatus {
	s := *old.DeepCopy()
	letGo := !f.announcing && old.Node == self && f.owner == ""
	switch {
	case f.announcing:
		since := metav1.NewTime(f.since).Rfc3339Copy()
		s.Node, s.Term, s.Epoch, s.Since = self, f.term, f.epoch, &since
		setCondition(&s, now, v1alpha1.ConditionAnnounced, metav1.ConditionTrue, reasonAnnouncing,
			"node "+self+" answers for the address")
		setHealthy(self, &s, f.health, now)
	case letGo:
		s.Node, s.Since = "", nil
		setCondition(&s, now, v1alpha1.ConditionAnnounced, metav1.ConditionFalse, reasonWithdrawn, f.why)
	case old.Node == "":
		setHealthyOfRoutes(&s, f.routed, now)
	}
	switch {
	case f.conflict != "":
		setCondition(&s, now, v1alpha1.ConditionConflict, metav1.ConditionTrue, reasonInUse, f.conflict)
	case (f.announcing || letGo) && meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionConflict):
		// Also on letting go: without a node, a conflict would say that the address cannot be announced, and it could.
		setCondition(&s, now, v1alpha1.ConditionConflict, metav1.ConditionFalse, reasonNoConflict, "no other station was found")
	}
	return s
}

// setHealthy says whether the Services can be reached by way of the node that announces the address.
func setHealthy(self string, s *v1alpha1.VirtualIPStatus, c condition, now time.Time) {
	switch {
	case c.failure != "":
		setCondition(s, now, v1alpha1.ConditionHealthy, metav1.ConditionFalse, reasonFails, "node "+self+": "+c.failure)
	case c.checked:
		setCondition(s, now, v1alpha1.ConditionHealthy, metav1.ConditionTrue, reasonPasses, "the health checks pass on node "+self)
	case !c.probed:
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionHealthy)
	}
}

func setCondition(s *v1alpha1.VirtualIPStatus, now time.Time, kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&s.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(now).Rfc3339Copy(),
	})
}

// statusPatch returns a JSON merge patch (RFC 7396) from the object's status to the desired one, and nil when they are
// equal. Giving up an address is bound to the version of the object that was read: if another node has written since,
// the patch must not undo that.
func statusPatch(vip *v1alpha1.VirtualIP, want v1alpha1.VirtualIPStatus) ([]byte, error) {
	old := vip.Status
	if equality.Semantic.DeepEqual(old, want) {
		return nil, nil
	}
	patch := map[string]any{"status": map[string]any{
		"node": orNull(want.Node), "term": want.Term, "epoch": want.Epoch, "since": want.Since, "conditions": want.Conditions,
	}}
	if want.Node == "" {
		patch["metadata"] = map[string]any{"resourceVersion": vip.ResourceVersion}
	}
	b, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("status of VirtualIP %s: %w", vip.Name, err)
	}
	return b, nil
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
