// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/wake"
)

const (
	// reportInterval is the time between two writes of the Announcer object, or two attempts, unless one is urgent.
	reportInterval = 3 * time.Second
	reportTimeout  = 5 * time.Second
)

// announcerClient is the part of the typed client that the reporter needs.
type announcerClient interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (*v1alpha1.Announcer, error)
	Create(ctx context.Context, a *v1alpha1.Announcer, opts metav1.CreateOptions) (*v1alpha1.Announcer, error)
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions, subresources ...string) (*v1alpha1.Announcer, error)
}

// reporter keeps this node's Announcer object true.
type reporter struct {
	self    string
	client  announcerClient
	nodeUID func() types.UID                // "" while the Node has not been read
	exists  func() bool                     // whether informers see the object, or do not know yet
	current func() v1alpha1.AnnouncerStatus // without lastTransitionTime
	last    *v1alpha1.Announcer             // as last read or written; nil if not known
	urgent  wake.Signal                     // something must be told at once
}

// hurry has the object written now; it may be called from any goroutine.
func (r *reporter) hurry() { r.urgent.Poke() }

// errNoNode: the object must belong to the Node, whose UID is not known.
var errNoNode = errors.New("the Node has not been read yet")

// run writes the object when it is not what it should be, until ctx is done.
func (r *reporter) run(ctx context.Context) {
	r.urgent.Loop(ctx, func(ctx context.Context) time.Duration {
		if err := r.report(ctx, r.current()); err != nil && ctx.Err() == nil {
			r.last = nil
			klog.FromContext(ctx).Info("Announcer object not written, trying again", "err", err)
		}
		return reportInterval
	})
}

// stop says that the agent has ended.
func (r *reporter) stop(ctx context.Context) error {
	s := r.current()
	s.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonStopped, Message: "the announcer of this node was stopped",
	}}
	return r.report(ctx, s)
}

// report makes the object's status the given one, creating the object where there is none.
func (r *reporter) report(ctx context.Context, want v1alpha1.AnnouncerStatus) error {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	if r.last == nil || !r.exists() {
		if err := r.fetch(ctx); err != nil {
			return err
		}
	}
	conditions := append([]metav1.Condition(nil), r.last.Status.Conditions...)
	for _, c := range want.Conditions {
		c.LastTransitionTime = metav1.Now().Rfc3339Copy()
		meta.SetStatusCondition(&conditions, c)
	}
	want.Conditions = conditions
	if equality.Semantic.DeepEqual(want, r.last.Status) {
		return nil
	}
	return r.patch(ctx, statusFields(want), "status")
}

// statusFields names every field, since a merge patch leaves alone what it does not name.
func statusFields(s v1alpha1.AnnouncerStatus) map[string]any {
	return map[string]any{"status": map[string]any{
		"version": s.Version, "machineID": s.MachineID, "gossipAddress": s.GossipAddress, "interfaces": s.Interfaces,
		"owned": s.Owned, "members": s.Members, "unreachable": s.Unreachable, "bgp": s.BGP, "conditions": s.Conditions,
		"healthChecks": healthFields(s.HealthChecks),
	}}
}

// healthFields does the same one level below: what fails no more has to go.
func healthFields(h *v1alpha1.HealthChecks) any {
	if h == nil {
		return nil
	}
	return map[string]any{"running": h.Running, "failing": h.Failing, "failed": h.Failed}
}

func (r *reporter) fetch(ctx context.Context) error {
	a, err := r.client.Get(ctx, r.self, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if r.nodeUID() == "" {
			return fmt.Errorf("create Announcer %s: %w", r.self, errNoNode)
		}
		a = &v1alpha1.Announcer{ObjectMeta: metav1.ObjectMeta{Name: r.self, OwnerReferences: r.owner()}}
		if a, err = r.client.Create(ctx, a, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create Announcer %s: %w", r.self, err)
		}
	}
	if err != nil {
		return fmt.Errorf("get Announcer %s: %w", r.self, err)
	}
	r.last = a
	return nil
}

// owner makes the Node the owner of the object, so that both go together. The garbage collector also removes the object
// when the Node was deleted and made anew; it is then created again.
func (r *reporter) owner() []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: corev1.SchemeGroupVersion.Version, Kind: "Node", Name: r.self, UID: r.nodeUID()}}
}

func (r *reporter) patch(ctx context.Context, fields map[string]any, subresources ...string) error {
	b, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("patch of Announcer %s: %w", r.self, err)
	}
	a, err := r.client.Patch(ctx, r.self, types.MergePatchType, b, metav1.PatchOptions{}, subresources...)
	if err != nil {
		return fmt.Errorf("patch Announcer %s: %w", r.self, err)
	}
	r.last = a
	return nil
}
