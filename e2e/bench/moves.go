// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// move is something that an operator does on purpose to the node that announces the address.
type move struct {
	name, about string
	make        func(ctx context.Context, e *env, owner string) error
	// undo brings the cluster back, clients no longer looking.
	undo func(ctx context.Context, e *env, owner string) error
}

// moves returns all there are.
func moves() []move {
	return []move{
		{"l2_handover", "SIGTERM of the announcer", terminateAnnouncer, startAnnouncer},
		{"l2_handover_cordon", "cordon of its node", cordon, uncordon},
		{"l2_handover_drain", "drain of its node", drain, undrain},
		{"l2_handover_rollout", "rolling update of all announcers", rollOut, func(context.Context, *env, string) error { return nil }},
	}
}

// leavingOnCordon is the cloud config without which a cordon moves no address.
const leavingOnCordon = `
apiVersion: config.fairlead.dev/v1alpha1
kind: CloudConfig
nodes: {leaveOnCordon: true}
`

// endTimeout is how long an announcer may take to end: what the DaemonSet gives it.
const endTimeout = 30 * time.Second

func terminateAnnouncer(ctx context.Context, e *env, node string) error {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	if err := e.lab.Announcer(node).Terminate(ctx); err != nil {
		return fmt.Errorf("announcer of %s: %w", node, err)
	}
	return nil
}

func startAnnouncer(ctx context.Context, e *env, node string) error {
	_, err := e.lab.StartAnnouncer(ctx, node)
	return err
}

// rollOut replaces the announcers one after the other, as the DaemonSet controller does: the next one when the new one of
// the node before is ready.
func rollOut(ctx context.Context, e *env, _ string) error {
	for _, node := range e.lab.Nodes() {
		if err := terminateAnnouncer(ctx, e, node); err != nil {
			return err
		}
		if err := startAnnouncer(ctx, e, node); err != nil {
			return err
		}
		ready := "http://" + net.JoinHostPort(e.lab.Addr4(node).String(), "7480") + "/readyz"
		if err := lab.Eventually(ctx, "the announcer of "+node+" to be ready", func(ctx context.Context) (bool, string, error) {
			answer, err := e.lab.HTTPGet(ctx, lab.Client, ready)
			return err == nil, fmt.Sprintf("%v: %s", err, answer), nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) setCordon(ctx context.Context, node string, on bool) error {
	patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, on)
	if _, err := c.kube.CoreV1().Nodes().Patch(ctx, node, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("cordon of node %s: %w", node, err)
	}
	return nil
}

func cordon(ctx context.Context, e *env, node string) error {
	if err := e.setCordon(ctx, node, true); err != nil {
		return err
	}
	return lab.Eventually(ctx, "the address to leave "+node, func(ctx context.Context) (bool, string, error) {
		owner, err := e.owner(ctx)
		return err == nil && owner != node, "it is on " + owner, err
	})
}

func uncordon(ctx context.Context, e *env, node string) error { return e.setCordon(ctx, node, false) }

// lastBreath is how long a pod goes on serving after it was told to end, as a preStop hook of that length has it. Without
// one, a pod ends before kube-proxy has heard that it does, whatever announces its address.
const lastBreath = 5 * time.Second

// drain does what kubectl drain does: cordon, then evict the pods.
func drain(ctx context.Context, e *env, node string) error {
	if err := e.setCordon(ctx, node, true); err != nil {
		return err
	}
	pod := e.pods[node]
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}}
	if err := e.kube.PolicyV1().Evictions(pod.Namespace).Evict(ctx, eviction); err != nil {
		return fmt.Errorf("evicting pod %s of node %s: %w", pod.Name, node, err)
	}
	if err := sleep(ctx, lastBreath); err != nil {
		return err
	}
	return e.lab.DeletePod(ctx, pod)
}

func undrain(ctx context.Context, e *env, node string) error {
	if err := e.setCordon(ctx, node, false); err != nil {
		return err
	}
	return e.startBackend(ctx, node)
}

// startBackend starts the pod of a node.
func (c *cluster) startBackend(ctx context.Context, node string) error {
	pod, err := c.lab.StartPod(ctx, lab.PodSpec{Namespace: webNamespace, Name: "web-" + node, Node: node, Labels: webLabels()})
	if err != nil {
		return err
	}
	// kube-proxy may give a connection the port that the pod knows of one it closed in the last minute. The pod then
	// acknowledges that one, and the client sends its SYN anew, wherever the address is announced: the pod is to forget at once.
	if _, err := c.lab.Exec(ctx, pod.Host(), "sh", "-c", "echo 0 >/proc/sys/net/ipv4/tcp_max_tw_buckets"); err != nil {
		return err
	}
	c.pods[node] = pod
	return nil
}

func webLabels() map[string]string { return map[string]string{"app": "web"} }
