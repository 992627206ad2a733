// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// node is a machine of the cluster.
type node struct {
	name       string
	number     int
	host       *host
	kubelet    *kubelet
	kubeconfig string // of kube-proxy

	// Guarded by Lab.mu.
	kubeProxy   *Process
	announcer   *Process
	podOctets   map[int]bool
	poweredOff  bool // kube-proxy and announcer are to be started again by RestoreNode
	announcerOn bool

	announcerArgs []string
}

func (l *Lab) node(name string) (*node, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, ok := l.nodes[name]
	if !ok {
		return nil, fmt.Errorf("the lab has no node %q", name)
	}
	return n, nil
}

// startNodes registers all nodes, as their kubelets would, and starts kube-proxy on them.
func (l *Lab) startNodes(ctx context.Context) error {
	kubeconfig, _, err := l.certKubeconfig("kube-proxy", "system:kube-proxy")
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for number := 1; number <= l.cfg.Nodes; number++ {
		group.Go(func() error { return l.startNode(ctx, number, kubeconfig) })
	}
	return group.Wait()
}

func (l *Lab) startNode(ctx context.Context, number int, kubeconfig string) error {
	name := NodeName(number)
	n := &node{name: name, number: number, host: l.mustHost(name), kubeconfig: kubeconfig, podOctets: map[int]bool{}}
	if err := l.registerNode(ctx, n); err != nil {
		return err
	}
	k, err := newKubelet(l, n)
	if err != nil {
		return err
	}
	n.kubelet = k
	l.mu.Lock()
	l.nodes[name] = n
	l.mu.Unlock()
	if err := k.start(ctx); err != nil {
		return err
	}
	return l.startKubeProxy(ctx, n)
}

// registerNode creates the Node with what a kubelet reports and what the controller manager's address allocator adds.
func (l *Lab) registerNode(ctx context.Context, n *node) error {
	obj := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: n.name,
		Labels: map[string]string{
			corev1.LabelHostname: n.name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
		},
	}}
	for _, p := range l.plan.pods(n.number) {
		obj.Spec.PodCIDRs = append(obj.Spec.PodCIDRs, p.String())
	}
	obj.Spec.PodCIDR = obj.Spec.PodCIDRs[0]
	if !l.cfg.InitializedNodes {
		obj.Spec.Taints = []corev1.Taint{{
			Key: "node.cloudprovider.kubernetes.io/uninitialized", Value: "true", Effect: corev1.TaintEffectNoSchedule,
		}}
	}
	if !l.cfg.NoNodeIP {
		obj.Annotations = map[string]string{
			"alpha.kubernetes.io/provided-node-ip": fmt.Sprintf("%s,%s", n.host.addrs[0], n.host.addrs[1]),
		}
	}
	created, err := l.client.CoreV1().Nodes().Create(ctx, obj, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("register node %q: %w", n.name, err)
	}
	created.Status = l.nodeStatus(n)
	if _, err := l.client.CoreV1().Nodes().UpdateStatus(ctx, created, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("report the status of node %q: %w", n.name, err)
	}
	return nil
}

func (l *Lab) nodeStatus(n *node) corev1.NodeStatus {
	quantities := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("4"),
		corev1.ResourceMemory: resource.MustParse("8Gi"),
		corev1.ResourcePods:   resource.MustParse("110"),
	}
	var addresses []corev1.NodeAddress
	if !l.cfg.NoNodeIP {
		for _, a := range n.host.addrs {
			addresses = append(addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a.String()})
		}
	}
	return corev1.NodeStatus{
		Capacity: quantities, Allocatable: quantities,
		Addresses:  append(addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: n.name}),
		Conditions: nodeConditions(metav1.Now()),
		NodeInfo: corev1.NodeSystemInfo{
			SystemUUID: uuid.NewString(), MachineID: strings.ToLower(rand.Text()), BootID: uuid.NewString(),
			KubeletVersion: "v1.36.3", OSImage: "Fairlead lab", OperatingSystem: "linux", Architecture: "amd64",
			ContainerRuntimeVersion: "lab://1", KernelVersion: "6.0",
		},
	}
}

// nodeConditions are those of a healthy kubelet at the given time.
func nodeConditions(now metav1.Time) []corev1.NodeCondition {
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: kind, Status: status, Reason: reason, LastHeartbeatTime: now, LastTransitionTime: now}
	}
	return []corev1.NodeCondition{
		condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory"),
		condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure"),
		condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID"),
		condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady"),
	}
}

// startKubeProxy starts kube-proxy on a node and waits until it has programmed what the API server has.
func (l *Lab) startKubeProxy(ctx context.Context, n *node) error {
	args := append([]string{
		"--kubeconfig=" + n.kubeconfig,
		"--hostname-override=" + n.name,
		"--proxy-mode=" + l.cfg.KubeProxyMode,
		"--cluster-cidr=" + podCIDRs,
		"--conntrack-max-per-core=0", "--conntrack-min=0",
		"--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s",
		"--healthz-bind-address=0.0.0.0:10256",
	}, l.cfg.KubeProxyArgs...)
	p, err := l.StartProcess(n.name, Command{
		Name: "kube-proxy-" + n.name, Path: filepath.Join(l.kube, "kube-proxy"), Args: args,
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	n.kubeProxy = p
	l.mu.Unlock()
	client := n.host.httpClient(time.Second)
	defer client.CloseIdleConnections()
	return l.awaitReady(ctx, p, "kube-proxy on "+n.name+" to be healthy", func(ctx context.Context) (string, error) {
		return fetch(ctx, client, "http://127.0.0.1:10256/livez", http.StatusOK)
	})
}

// KubeProxy returns the kube-proxy of a node, to be killed or paused.
func (l *Lab) KubeProxy(nodeName string) (*Process, error) {
	n, err := l.node(nodeName)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return n.kubeProxy, nil
}
