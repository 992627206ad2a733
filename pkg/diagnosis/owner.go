// SPDX-License-Identifier: Apache-2.0

package diagnosis

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	nodeutil "k8s.io/component-helpers/node/util"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// owner returns the node that announces an address on layer 2, "" where nobody does. The status alone does not tell: a node
// that dies leaves its name there until another has the address.
func (c *Cluster) owner(vip *v1alpha1.VirtualIP) string {
	if node := vip.Status.Node; node != "" && c.gone(node) == "" {
		return node
	}
	return ""
}

// gone says why a node announces nothing on layer 2, whatever its agent reported last, and nothing where it may.
func (c *Cluster) gone(node string) string {
	announcer := c.announcer(node)
	if announcer == nil {
		return "no announcer reports from there"
	}
	return cmp.Or(notReady(announcer), c.dead(announcer))
}

// mute says why a node announces nothing by BGP, whatever its agent reported last, and nothing where it may: that takes no
// majority.
func (c *Cluster) mute(node string) string {
	announcer := c.announcer(node)
	switch {
	case announcer == nil:
		return "no announcer reports from there"
	case readyReason(announcer) == v1alpha1.ReasonStopped:
		return notReady(announcer)
	}
	return c.dead(announcer)
}

// dead says why an agent and its node are taken for dead, and nothing where they are not. The report of a dead agent stays
// as it was, so others have to tell.
func (c *Cluster) dead(announcer *v1alpha1.Announcer) string {
	node := announcer.Name
	lost := c.lostBy(node)
	if running := len(c.running()); len(lost)*2 > running {
		return fmt.Sprintf("%d of %d announcers have lost the node", len(lost), running)
	}
	for _, witness := range c.Announcers {
		switch {
		case !c.leftAlone(witness):
		case slices.Contains(lost, witness) && !slices.Contains(announcer.Status.Unreachable, witness.Name):
			return witness.Name + ", left in a minority, has lost the node"
		case witness.Status.Members == 1 && int(announcer.Status.Members) == len(c.Announcers):
			return witness.Name + ", left in a minority, sees no other announcer, and the node's has not noticed"
		}
	}
	if c.kubeletSilent(node) && !slices.ContainsFunc(c.Announcers, func(other *v1alpha1.Announcer) bool { return c.vouches(other, node) }) {
		return "its kubelet reports nothing any more, and no other announcer vouches for it"
	}
	return ""
}

// lostBy returns the announcers that have lost a node.
func (c *Cluster) lostBy(node string) []*v1alpha1.Announcer {
	var lost []*v1alpha1.Announcer
	for _, announcer := range c.running() {
		if slices.Contains(announcer.Status.Unreachable, node) {
			lost = append(lost, announcer)
		}
	}
	return lost
}

// running returns the announcers that were not stopped: one that was counts in no majority, after a minute, and what it
// reported last is old.
func (c *Cluster) running() []*v1alpha1.Announcer {
	return slices.DeleteFunc(slices.Clone(c.Announcers), func(announcer *v1alpha1.Announcer) bool {
		return readyReason(announcer) == v1alpha1.ReasonStopped
	})
}

// leftAlone tells whether an agent that is known to live says that it is in a minority. What it cannot see has died, or the
// network has parted the two; in that case, the other says the same of this one.
func (c *Cluster) leftAlone(announcer *v1alpha1.Announcer) bool {
	return readyReason(announcer) == v1alpha1.ReasonMinority && !c.kubeletSilent(announcer.Name)
}

// vouches tells whether an announcer is known to live and takes part, and has not lost another node.
func (c *Cluster) vouches(announcer *v1alpha1.Announcer, node string) bool {
	return announcer.Name != node && notReady(announcer) == "" && !c.kubeletSilent(announcer.Name) &&
		!slices.Contains(announcer.Status.Unreachable, node)
}

// readyReason returns the reason of an agent's Ready condition.
func readyReason(announcer *v1alpha1.Announcer) string {
	if ready := meta.FindStatusCondition(announcer.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return ready.Reason
	}
	return ""
}

// kubeletSilent tells whether Kubernetes has not heard of a node for some time, about 50 s by default: its Ready condition
// is unknown then.
func (c *Cluster) kubeletSilent(name string) bool {
	node := c.node(name)
	if node == nil {
		return false
	}
	_, ready := nodeutil.GetNodeCondition(&node.Status, corev1.NodeReady)
	return ready != nil && ready.Status == corev1.ConditionUnknown
}
