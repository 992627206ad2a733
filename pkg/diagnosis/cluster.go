// SPDX-License-Identifier: Apache-2.0

package diagnosis

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	nodeutil "k8s.io/component-helpers/node/util"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// Cluster is what is known of a cluster: its objects at about the same moment.
type Cluster struct {
	Nodes      []*corev1.Node
	Services   []*corev1.Service
	Slices     []*discoveryv1.EndpointSlice
	Events     []*corev1.Event
	Pools      []*v1alpha1.AddressPool
	VirtualIPs []*v1alpha1.VirtualIP
	Announcers []*v1alpha1.Announcer
	// Namespace is the one that Fairlead is installed in, for the commands that help.
	Namespace string
	// Rules are those of the cloud config, where a VirtualIP does not say which hold.
	Rules loadbalancer.NodeRules
	// Disabled are the dialects of annotations that the cloud config switches off.
	Disabled []settings.Dialect
}

// Event is an event about an object, as far as it matters here.
type Event struct {
	Last    time.Time `json:"last"`
	Type    string    `json:"type"`
	Object  string    `json:"object"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
}

// node returns the Node of that name, or nil.
func (c *Cluster) node(name string) *corev1.Node {
	for _, node := range c.Nodes {
		if node.Name == name {
			return node
		}
	}
	return nil
}

// announcer returns the report of a node's agent, or nil.
func (c *Cluster) announcer(node string) *v1alpha1.Announcer {
	for _, announcer := range c.Announcers {
		if announcer.Name == node {
			return announcer
		}
	}
	return nil
}

// about tells whether events about an object matter to an answer.
type about func(reference corev1.ObjectReference) bool

// lastEvents returns the last n events that matter, the latest first.
func (c *Cluster) lastEvents(n int, matters about) []Event {
	var found []Event
	for _, event := range c.Events {
		object := event.InvolvedObject
		if !matters(object) {
			continue
		}
		found = append(found, Event{
			Last: lastSeen(event), Type: event.Type, Reason: event.Reason, Message: event.Message,
			Object: object.Kind + "/" + object.Name,
		})
	}
	slices.SortStableFunc(found, func(a, b Event) int { return b.Last.Compare(a.Last) })
	return found[:min(n, len(found))]
}

func lastSeen(event *corev1.Event) time.Time {
	if event.Series != nil {
		return event.Series.LastObservedTime.Time
	}
	if !event.LastTimestamp.IsZero() {
		return event.LastTimestamp.Time
	}
	return cmp.Or(event.EventTime.Time, event.CreationTimestamp.Time)
}

// notReady says why a node's agent takes no part, and nothing where it does.
func notReady(announcer *v1alpha1.Announcer) string {
	condition := meta.FindStatusCondition(announcer.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case condition == nil:
		return "its announcer has not said that it is ready"
	case condition.Status != "True":
		return fmt.Sprintf("its announcer is not ready: %s", condition.Message)
	}
	return ""
}

// isReady tells whether a Node is ready.
func isReady(node *corev1.Node) bool {
	_, ready := nodeutil.GetNodeCondition(&node.Status, corev1.NodeReady)
	return ready != nil && ready.Status == corev1.ConditionTrue
}
