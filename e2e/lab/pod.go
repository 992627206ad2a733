// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PodSpec says what pod to start.
type PodSpec struct {
	Name      string
	Namespace string // default "default"
	Node      string
	Labels    map[string]string
	HTTP      int  // port of the HTTP backend; 0 means 8080
	UDP       int  // port of the UDP backend; 0 means 8080
	NotReady  bool // start unready
}

// Pod is a backend that runs: a process in a namespace behind a cable on its node.
type Pod struct {
	PodSpec
	Addr4, Addr6 netip.Addr

	octet   int
	host    *host
	process *Process

	// Guarded by Lab.mu.
	ready bool
	known bool // to the API server: its absence there means that somebody deleted it
}

// Process returns the pod's backend, to be killed or paused.
func (p *Pod) Process() *Process { return p.process }

func (p *Pod) key() string { return p.Namespace + "/" + p.Name }

// podHost names the pod's namespace, for Exec.
func podHost(namespace, name string) string { return "pod-" + namespace + "-" + name }

// Host returns the name by which Exec, Dial and probes know the pod.
func (p *Pod) Host() string { return podHost(p.Namespace, p.Name) }

// StartPod runs a backend on a node and returns when it answers and Kubernetes knows of it.
func (l *Lab) StartPod(ctx context.Context, spec PodSpec) (*Pod, error) {
	if spec.Namespace == "" {
		spec.Namespace = corev1.NamespaceDefault
	}
	if spec.HTTP == 0 {
		spec.HTTP = 8080
	}
	if spec.UDP == 0 {
		spec.UDP = 8080
	}
	n, err := l.node(spec.Node)
	if err != nil {
		return nil, err
	}
	p := &Pod{PodSpec: spec, ready: !spec.NotReady}
	if err := l.runPod(ctx, n, p); err != nil {
		return nil, errors.Join(fmt.Errorf("start pod %s: %w", p.key(), err), l.removePod(p))
	}
	return p, nil
}

func (l *Lab) runPod(ctx context.Context, n *node, p *Pod) error {
	if err := l.awaitServiceAccount(ctx, p.Namespace); err != nil {
		return err
	}
	if err := l.claimPod(n, p); err != nil {
		return err
	}
	if err := l.plugPod(n, p); err != nil {
		return err
	}
	if err := l.startBackend(ctx, p); err != nil {
		return err
	}
	if _, err := l.client.CoreV1().Pods(p.Namespace).Create(ctx, p.object(), metav1.CreateOptions{}); err != nil {
		return err
	}
	l.mu.Lock()
	p.known = true
	l.mu.Unlock()
	// The node authorizer learns from its own watch that the pod is on the node; until then it forbids.
	return Eventually(ctx, "status of pod "+p.key(), func(ctx context.Context) (bool, string, error) {
		err := n.kubelet.syncPod(ctx, p)
		return err == nil, fmt.Sprint(err), nil
	})
}

// claimPod takes a name and an address for the pod.
func (l *Lab) claimPod(n *node, p *Pod) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.pods[p.key()]; ok {
		return errors.New("it runs already")
	}
	for octet := 2; octet < 255; octet++ {
		if n.podOctets[octet] {
			continue
		}
		addrs := l.plan.pod(n.number, octet)
		n.podOctets[octet] = true
		p.octet, p.Addr4, p.Addr6 = octet, addrs[0], addrs[1]
		l.pods[p.key()] = p
		return nil
	}
	return fmt.Errorf("node %q has no pod address left", n.name)
}

func (l *Lab) startBackend(ctx context.Context, p *Pod) error {
	var err error
	p.process, err = l.StartProcess(p.host.name, Command{
		Name: p.host.name, Path: filepath.Join(l.dir, "bin", "backend"),
		Args: []string{"--pod", p.Name, "--node", p.Node, "--http", strconv.Itoa(p.HTTP), "--udp", strconv.Itoa(p.UDP)},
	})
	if err != nil {
		return err
	}
	return l.awaitReady(ctx, p.process, "backend of pod "+p.key(), func(ctx context.Context) (string, error) {
		conn, err := p.host.dial(ctx, "tcp", netip.AddrPortFrom(p.Addr4, uint16(p.HTTP)).String())
		if err != nil {
			return "", err
		}
		return "", conn.Close()
	})
}

func (p *Pod) object() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace, Labels: p.Labels},
		Spec: corev1.PodSpec{
			NodeName:    p.Node,
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			Containers: []corev1.Container{{Name: "backend", Image: "lab/backend", Ports: []corev1.ContainerPort{
				{Name: "http", ContainerPort: int32(p.HTTP), Protocol: corev1.ProtocolTCP},
				{Name: "udp", ContainerPort: int32(p.UDP), Protocol: corev1.ProtocolUDP},
			}}},
		},
	}
}

// status is what a kubelet reports of the running pod.
func (p *Pod) status(node [2]netip.Addr, ready bool) corev1.PodStatus {
	now, state := metav1.Now(), corev1.ConditionFalse
	if ready {
		state = corev1.ConditionTrue
	}
	condition := func(kind corev1.PodConditionType, status corev1.ConditionStatus) corev1.PodCondition {
		return corev1.PodCondition{Type: kind, Status: status, LastTransitionTime: now}
	}
	return corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &now,
		HostIP: node[0].String(), HostIPs: []corev1.HostIP{{IP: node[0].String()}, {IP: node[1].String()}},
		PodIP: p.Addr4.String(), PodIPs: []corev1.PodIP{{IP: p.Addr4.String()}, {IP: p.Addr6.String()}},
		Conditions: []corev1.PodCondition{
			condition(corev1.PodScheduled, corev1.ConditionTrue), condition(corev1.PodInitialized, corev1.ConditionTrue),
			condition(corev1.ContainersReady, state), condition(corev1.PodReady, state),
		},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: "backend", Ready: ready, Image: "lab/backend", ImageID: "lab/backend", ContainerID: "lab://" + p.Name,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		}},
	}
}

// SetPodReady reports a pod ready or not, as its readiness probe would. It fails when the pod's node cannot reach the API
// server.
func (l *Lab) SetPodReady(ctx context.Context, p *Pod, ready bool) error {
	n, err := l.node(p.Node)
	if err != nil {
		return err
	}
	l.mu.Lock()
	p.ready = ready
	l.mu.Unlock()
	return n.kubelet.syncPod(ctx, p)
}

// DeletePod deletes the pod at once, and its backend with it.
func (l *Lab) DeletePod(ctx context.Context, p *Pod) error {
	now := int64(0)
	err := l.client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete pod %s: %w", p.key(), err)
	}
	return l.removePod(p)
}

// removePod takes away the backend and its namespace, whatever there is of them. Its cable goes first, by name: the kernel
// clears a namespace up in its own time, and until then the next pod could not have a device of that name.
func (l *Lab) removePod(p *Pod) error {
	l.mu.Lock()
	if l.pods[p.key()] != p {
		l.mu.Unlock()
		return nil
	}
	delete(l.pods, p.key())
	delete(l.hosts, p.Host())
	n := l.nodes[p.Node]
	l.mu.Unlock()
	if p.process != nil {
		p.process.Kill()
	}
	if p.host == nil {
		l.freeOctet(n, p)
		return nil
	}
	unplugged := p.host.onDevice("eth0", func(handle *netlink.Handle, link netlink.Link) error { return handle.LinkDel(link) })
	if _, none := errors.AsType[netlink.LinkNotFoundError](unplugged); none {
		unplugged = nil // it was never laid
	}
	l.freeOctet(n, p)
	return errors.Join(unplugged, p.host.close())
}

func (l *Lab) freeOctet(n *node, p *Pod) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n != nil {
		delete(n.podOctets, p.octet)
	}
}

// podsOf returns the pods that run on a node and that the API server has.
func (l *Lab) podsOf(nodeName string) []*Pod {
	l.mu.Lock()
	defer l.mu.Unlock()
	var pods []*Pod
	for _, p := range l.pods {
		if p.known && p.Node == nodeName {
			pods = append(pods, p)
		}
	}
	return pods
}

func (l *Lab) podReady(p *Pod) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return p.ready
}
