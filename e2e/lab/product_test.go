// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// kustomization has an object of each kind that ApplyKustomization treats in its own way, in an order that needs sorting.
const kustomization = `apiVersion: apps/v1
kind: Deployment
metadata: {name: sails, namespace: fairlead-system}
spec:
  selector: {matchLabels: {app: sails}}
  template:
    metadata: {labels: {app: sails}}
    spec: {containers: [{name: sails, image: sails}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: fairlead-announcer, namespace: fairlead-system}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: sails.lab.fairlead.dev}
spec:
  group: lab.fairlead.dev
  names: {kind: Sail, plural: sails}
  scope: Cluster
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
apiVersion: v1
kind: Namespace
metadata: {name: fairlead-system}
`

func TestProductSupport(t *testing.T) {
	l := ForTest(t, Config{Nodes: 1})
	ctx := t.Context()
	dir := t.TempDir()
	for name, content := range map[string]string{"kustomization.yaml": "resources: [all.yaml]\n", "all.yaml": kustomization} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.ApplyKustomization(ctx, dir); err != nil {
		t.Fatal(err)
	}
	if err := l.Apply(ctx, "{apiVersion: lab.fairlead.dev/v1, kind: Sail, metadata: {name: jib}}"); err != nil {
		t.Errorf("the definition is not served: %v", err)
	}
	deployments, err := l.Client().AppsV1().Deployments(productNamespace).List(ctx, metav1.ListOptions{})
	if err != nil || len(deployments.Items) != 0 {
		t.Errorf("workloads were applied: %v, %v", deployments.Items, err)
	}
	t.Run("tokens carry the node", func(t *testing.T) { testBoundToken(t, l) })
	t.Run("the gossip key follows its Secret", func(t *testing.T) { testGossipKey(t, l) })
}

func testBoundToken(t *testing.T, l *Lab) {
	ctx := t.Context()
	kubeconfig, err := l.ServiceAccountKubeconfig(ctx, productNamespace, announcerProgram, "n1")
	if err != nil {
		t.Fatal(err)
	}
	kubectl := filepath.Join(l.kube, "kubectl")
	who, err := l.Exec(ctx, "n1", kubectl, "--kubeconfig", kubeconfig, "auth", "whoami", "-o", "yaml")
	if err != nil {
		t.Fatal(err)
	}
	who = strings.Join(strings.Fields(who), " ")
	for _, part := range []string{"system:serviceaccount:fairlead-system:fairlead-announcer", "authentication.kubernetes.io/node-name: - n1"} {
		if !strings.Contains(who, part) {
			t.Errorf("the token's user lacks %q:\n%s", part, who)
		}
	}
}

func testGossipKey(t *testing.T, l *Lab) {
	ctx := t.Context()
	secrets := l.Client().CoreV1().Secrets(productNamespace)
	secret, err := secrets.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: gossipSecret}, Data: map[string][]byte{"key": []byte("first")},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	path, err := l.mountGossipKey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "first" {
		t.Errorf("key file holds %q, %v", data, err)
	}
	secret.Data["key"] = []byte("second")
	if _, err := secrets.Update(ctx, secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	Await(ctx, t, "the new key in the file", func(context.Context) (bool, string, error) {
		data, err := os.ReadFile(path)
		return string(data) == "second", string(data), err
	})
}
