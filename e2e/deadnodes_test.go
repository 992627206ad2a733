// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// reasonUnreachable is what the manager writes into pods of a dead node. Kubernetes' own controller gives no reason, and
// leaves a pod alone that is not ready already: where the reason stands, the manager was first.
const reasonUnreachable = "NodeUnreachable"

// endpointOf returns the Ready condition of the pod of Service web on a node, and whether kube-proxy may use its endpoint.
func (s *space) endpointOf(ctx context.Context, node string) (ready corev1.PodCondition, inService bool, err error) {
	pod, err := s.Client().CoreV1().Pods(s.namespace).Get(ctx, s.podName(node), metav1.GetOptions{})
	if err != nil {
		return ready, false, err
	}
	at := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady })
	if at >= 0 {
		ready = pod.Status.Conditions[at]
	}
	list, err := s.Client().DiscoveryV1().EndpointSlices(s.namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.Set{discoveryv1.LabelServiceName: "web"}.String(),
	})
	if err != nil {
		return ready, false, err
	}
	for i := range list.Items {
		for _, endpoint := range list.Items[i].Endpoints {
			if endpoint.NodeName != nil && *endpoint.NodeName == node && *endpoint.Conditions.Ready {
				inService = true
			}
		}
	}
	return ready, inService, nil
}

// awaitOutOfService waits until the manager has taken the endpoint of Service web on a node out of service.
func (s *space) awaitOutOfService(node string) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, "the manager to take the endpoint on "+node+" out of service", func(ctx context.Context) (bool, string, error) {
		ready, inService, err := s.endpointOf(ctx, node)
		return ready.Status == corev1.ConditionFalse && ready.Reason == reasonUnreachable && !inService, fmt.Sprintf("%+v, in service: %t", ready, inService), err
	})
	s.awaitWarning(node, reasonUnreachable, "marked not ready")
}

// awaitTakenBack runs a step again and again until the endpoint on a node is in service and the manager says that the node
// lives.
func (s *space) awaitTakenBack(node string, step func(context.Context) error) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, "the manager to take the mark back on "+node, func(ctx context.Context) (bool, string, error) {
		if err := step(ctx); err != nil {
			return false, "", err
		}
		ready, inService, err := s.endpointOf(ctx, node)
		if err != nil {
			return false, "", err
		}
		told, err := s.Client().CoreV1().Events("").List(ctx, metav1.ListOptions{
			FieldSelector: fields.Set{"involvedObject.name": node, "reason": "NodeReachable"}.String(),
		})
		if err != nil {
			return false, "", err
		}
		return ready.Status == corev1.ConditionTrue && inService && len(told.Items) > 0,
			fmt.Sprintf("%+v, in service: %t, %d events", ready, inService, len(told.Items)), nil
	})
}

// renewLease does what a kubelet does every 10 s, for one that is silent.
func (s *space) renewLease(ctx context.Context, node string) error {
	leases := s.Client().CoordinationV1().Leases(corev1.NamespaceNodeLease)
	lease, err := leases.Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return err
	}
	lease.Spec.RenewTime = new(metav1.NowMicro())
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) {
		return nil // the next time, then
	}
	return err
}

// liveNodeIsTakenBack cuts a node off from the other nodes only. Its kubelet is silent meanwhile, so that whatever becomes of
// its pod is the manager's doing: a leader takes the endpoint out of service, and the next one, which sees no dead node
// any more, takes that back when the Lease is renewed.
func liveNodeIsTakenBack(s *space) {
	s.ccm.Kill() // it may have taken a mark back, and leaves that node alone for ten minutes
	s.ccm = s.startCCM(s.t, "ccm-before-death", "--leader-elect=false")
	addr := s.web()
	owner := s.awaitOwner(addr)
	others := slices.DeleteFunc(s.Nodes(), func(node string) bool { return node == owner })
	if err := s.StopHeartbeats(owner); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		ctx := context.WithoutCancel(s.t.Context())
		for _, err := range []error{s.Heal(ctx), s.StartHeartbeats(ctx, owner)} {
			if err != nil {
				s.t.Error(err)
			}
		}
	})
	if err := s.Partition(s.t.Context(), []string{owner}, others); err != nil {
		s.t.Fatal(err)
	}
	s.awaitOutOfService(owner)
	s.awaitSpeaker(addr, owner)
	next := s.awaitOwner(addr, owner)
	s.ccm.Kill()
	if err := s.Heal(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.awaitMembers(s.t)
	s.ccm = s.startCCM(s.t, "ccm-after-death", "--leader-elect=false")
	s.awaitTakenBack(owner, func(ctx context.Context) error { return s.renewLease(ctx, owner) })
	if now := s.awaitOwner(addr); now != next {
		s.t.Errorf("the address went from %s to %s because %s came back", next, now, owner)
	}
}
