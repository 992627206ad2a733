// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// The pace of a kubelet with default settings.
const (
	leaseDuration  = 40 * time.Second
	beatInterval   = 10 * time.Second
	statusInterval = 5 * time.Minute
	beatTimeout    = 5 * time.Second
)

// kubelet plays the kubelet of one node: with that node's credentials and from its namespace it renews the Lease, keeps
// the Node's conditions, and brings the pods' status back to what is the case. It can be stopped and started again.
type kubelet struct {
	lab  *Lab
	node *node
	pair keyPair

	mu     sync.Mutex
	client kubernetes.Interface
	config *rest.Config
	cancel context.CancelFunc // nil while stopped
	done   chan struct{}
}

func newKubelet(l *Lab, n *node) (*kubelet, error) {
	pair, err := l.ca.clientPair("system:node:"+n.name, "system:nodes")
	if err != nil {
		return nil, err
	}
	k := &kubelet{lab: l, node: n, pair: pair}
	return k, k.reconnect()
}

// reconnect drops connections that a cut cable has left half open, as the real kubelet does when heartbeats fail.
func (k *kubelet) reconnect() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closeConnections()
	k.config = k.lab.restConfig(k.node.host, k.pair)
	k.config.Timeout = beatTimeout
	var err error
	k.client, err = kubernetes.NewForConfig(k.config)
	return err
}

func (k *kubelet) closeConnections() {
	if c, ok := k.client.(*kubernetes.Clientset); ok && c != nil {
		if r, ok := c.CoreV1().RESTClient().(*rest.RESTClient); ok && r.Client != nil {
			utilnet.CloseIdleConnectionsFor(r.Client.Transport)
		}
	}
}

func (k *kubelet) api() kubernetes.Interface {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.client
}

// start beats until it succeeds once, then goes on by itself.
func (k *kubelet) start(ctx context.Context) error {
	if err := k.reconnect(); err != nil {
		return err
	}
	err := Eventually(ctx, "first heartbeat of node "+k.node.name, func(ctx context.Context) (bool, string, error) {
		err := k.beat(ctx)
		return err == nil, fmt.Sprint(err), nil
	})
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cancel != nil {
		return nil
	}
	loop, cancel := context.WithCancel(k.lab.background)
	done := make(chan struct{})
	k.cancel, k.done = cancel, done
	go func() {
		defer close(done)
		k.run(loop)
	}()
	return nil
}

// stop ends the heartbeats. Kubernetes learns of it as it learns of a dead machine: late.
func (k *kubelet) stop() {
	k.mu.Lock()
	cancel, done := k.cancel, k.done
	k.cancel = nil
	k.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
}

func (k *kubelet) run(ctx context.Context) {
	ticker := time.NewTicker(beatInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := k.beat(ctx); err != nil && ctx.Err() == nil {
			// The node cannot reach the API server: that is often the test. The next beat tries again.
			_ = k.reconnect()
		}
	}
}

func (k *kubelet) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	if err := k.renewLease(ctx); err != nil {
		return err
	}
	if err := k.renewStatus(ctx); err != nil {
		return err
	}
	return k.syncPods(ctx)
}

func (k *kubelet) renewLease(ctx context.Context) error {
	leases := k.api().CoordinationV1().Leases(corev1.NamespaceNodeLease)
	seconds, now := int32(leaseDuration/time.Second), metav1.NowMicro()
	lease, err := leases.Get(ctx, k.node.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = leases.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: k.node.name},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &k.node.name, LeaseDurationSeconds: &seconds, RenewTime: &now},
		}, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	lease.Spec.RenewTime = &now
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}

// renewStatus patches the conditions when somebody else has changed Ready, and else every five minutes.
func (k *kubelet) renewStatus(ctx context.Context) error {
	obj, err := k.api().CoreV1().Nodes().Get(ctx, k.node.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, c := range obj.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue && time.Since(c.LastHeartbeatTime.Time) < statusInterval {
			return nil
		}
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": nodeConditions(metav1.Now())}})
	if err != nil {
		return err
	}
	_, err = k.api().CoreV1().Nodes().Patch(ctx, k.node.name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// reportBoot tells that the machine has booted since the last report.
func (k *kubelet) reportBoot(ctx context.Context) error {
	patch := fmt.Sprintf(`{"status": {"nodeInfo": {"bootID": %q}}}`, uuid.NewString())
	_, err := k.api().CoreV1().Nodes().Patch(ctx, k.node.name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("report the boot of node %q: %w", k.node.name, err)
	}
	return nil
}

// syncPods brings the status of all pods of the node back to what the lab runs.
func (k *kubelet) syncPods(ctx context.Context) error {
	var errs []error
	for _, p := range k.lab.podsOf(k.node.name) {
		errs = append(errs, k.syncPod(ctx, p))
	}
	return errors.Join(errs...)
}

// syncPod reports the pod's status if it differs from what the API server has, and ends a pod that is to be deleted.
func (k *kubelet) syncPod(ctx context.Context, p *Pod) error {
	pods := k.api().CoreV1().Pods(p.Namespace)
	obj, err := pods.Get(ctx, p.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return k.lab.removePod(p)
	}
	if err != nil {
		return fmt.Errorf("sync pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	if obj.DeletionTimestamp != nil {
		if err := k.lab.removePod(p); err != nil {
			return err
		}
		now := int64(0)
		err := pods.Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
		if apierrors.IsNotFound(err) {
			err = nil
		}
		return err
	}
	ready := k.lab.podReady(p)
	if obj.Status.PodIP == p.Addr4.String() && podConditionIs(obj, ready) {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"status": p.status(k.node.host.addrs, ready)})
	if err != nil {
		return err
	}
	if _, err := pods.Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("report the status of pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	return nil
}

func podConditionIs(obj *corev1.Pod, ready bool) bool {
	for _, c := range obj.Status.Conditions {
		if c.Type == corev1.PodReady {
			return (c.Status == corev1.ConditionTrue) == ready
		}
	}
	return false
}

// closeNodes ends all heartbeats and their connections.
func (l *Lab) closeNodes() {
	l.mu.Lock()
	nodes := l.nodes
	l.mu.Unlock()
	for _, n := range nodes {
		if n.kubelet == nil {
			continue
		}
		n.kubelet.stop()
		n.kubelet.mu.Lock()
		n.kubelet.closeConnections()
		n.kubelet.mu.Unlock()
	}
	if l.client != nil {
		if r, ok := l.client.CoreV1().RESTClient().(*rest.RESTClient); ok && r.Client != nil {
			utilnet.CloseIdleConnectionsFor(r.Client.Transport)
		}
	}
}
