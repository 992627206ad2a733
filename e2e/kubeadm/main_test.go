// SPDX-License-Identifier: Apache-2.0

package kubeadm_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	cloudproviderapi "k8s.io/cloud-provider/api"

	"github.com/fairlead-io/fairlead/e2e/images"
	"github.com/fairlead-io/fairlead/e2e/kubeadm"
	"github.com/fairlead-io/fairlead/e2e/lab"
)

// patience bounds each wait: machines are booted and pods are moved here, also while other work loads the machine.
const patience = 5 * time.Minute

// zones is what a user would add to the overlay's cloud config for these machines before the installation.
const zones = `    zones:
    - {zone: office, region: here, names: [cp]}
    - {zone: rack-1, region: here, cidrs: [192.0.2.11/32]}
    - {zone: rack-2, region: there, cidrs: ["2001:db8::12/128"]}
`

// backends are the pods behind the Service of manifests/examples. They end only when no node sends them requests any more.
const backends = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 30
      tolerations:
      - {key: node-role.kubernetes.io/control-plane, operator: Exists}
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: web}}}
      containers:
      - name: backend
        image: ` + kubeadm.BackendImage + `
        imagePullPolicy: Never
        args: [--pod=$(POD), --node=$(NODE)]
        env:
        - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
        readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 10}
        lifecycle: {preStop: {sleep: {seconds: 10}}}
`

// scenario is a cluster on which the steps of the documents are run, in an order that one could take them in.
type scenario struct {
	*kubeadm.Cluster
	documents map[string]*kubeadm.Document
	images    map[string]chan []string // paths of the archives by tag, once they are built
}

// buildImages builds Fairlead's images with a tag in the background.
func (s *scenario) buildImages(t *testing.T, root, tag string) {
	dir := t.TempDir()
	s.images[tag] = make(chan []string, 1)
	failed := make(chan error, 1)
	platform := "linux/" + runtime.GOARCH
	go func() {
		defer close(s.images[tag])
		built, err := images.Build(t.Context(), images.Config{
			Root: root, Out: dir, Tag: tag, Version: "v0.0.0-" + tag, Platforms: []string{platform}, Created: time.Unix(0, 0),
		}, images.Programs()...)
		failed <- err
		if err != nil {
			return
		}
		var paths []string
		for _, image := range built {
			paths = append(paths, image.Archives[platform])
		}
		s.images[tag] <- paths
	}()
	t.Cleanup(func() {
		if err := <-failed; err != nil {
			t.Errorf("building the images with tag %s: %v", tag, err)
		}
	})
}

// copyImages puts the archives of a tag where the commands of the documents look for them: beside manifests, on all
// machines.
func (s *scenario) copyImages(t *testing.T, tag string) {
	t.Helper()
	paths, ok := <-s.images[tag]
	if !ok {
		t.Fatalf("there are no images with tag %s", tag)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, machine := range kubeadm.Machines() {
			if err := os.WriteFile(filepath.Join(s.Home(machine), filepath.Base(path)), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// take takes the blocks of a section of a document.
func (s *scenario) take(t *testing.T, document, section string) []kubeadm.Block {
	t.Helper()
	blocks, err := s.documents[document].Take(section)
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

// run runs a block on the machines that its word stands for. Workers are all of them, unless some are named.
func (s *scenario) run(t *testing.T, block kubeadm.Block) {
	t.Helper()
	machines, ok := map[string][]string{
		"kubectl": {lab.ControlPlane}, "control-plane": {lab.ControlPlane}, "node": kubeadm.Machines(), "moved": {"n1"},
	}[block.Where]
	if !ok {
		t.Fatalf("%s: nobody runs what is for %q", block, block.Where)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.RunBlock(ctx, block, machines...); err != nil {
		t.Fatal(err)
	}
}

// timed runs the rest of a step as one stage.
func (s *scenario) timed(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	ok := t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
		err := s.Timed(name, func() error {
			f(t)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	if !ok {
		t.FailNow()
	}
}

// await is lab.Await with this package's patience.
func await(t *testing.T, what string, check func(context.Context) (bool, string, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lab.Await(ctx, t, what, check)
}

func (s *scenario) node(t *testing.T, name string) *corev1.Node {
	t.Helper()
	node, err := s.Client().CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return node
}

// awaitNode waits until a node is as it should be.
func (s *scenario) awaitNode(t *testing.T, name, what string, check func(*corev1.Node) bool) *corev1.Node {
	t.Helper()
	client := s.Client()
	var node *corev1.Node
	await(t, fmt.Sprintf("node %s to be %s", name, what), func(ctx context.Context) (bool, string, error) {
		var err error
		if node, err = client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{}); err != nil {
			return false, err.Error(), nil //nolint:nilerr // the API server may be away for a moment
		}
		return check(node), fmt.Sprintf("labels %v, spec %+v, addresses %v", node.Labels, node.Spec, node.Status.Addresses), nil
	})
	return node
}

func tainted(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(taint corev1.Taint) bool {
		return taint.Key == cloudproviderapi.TaintExternalCloudProvider
	})
}

func ready(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(condition corev1.NodeCondition) bool {
		return condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue
	})
}

func notReady(node *corev1.Node) bool { return !ready(node) }

// internal returns the internal addresses of a node.
func internal(node *corev1.Node) []string {
	var found []string
	for _, address := range node.Status.Addresses {
		if address.Type == corev1.NodeInternalIP {
			found = append(found, address.Address)
		}
	}
	return found
}
