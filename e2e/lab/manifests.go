// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// document is one object of the rendered manifests.
type document struct {
	kind, name string
	yaml       []byte
}

// ApplyManifests applies manifests/ of the product's tree; see ApplyKustomization.
func (l *Lab) ApplyManifests(ctx context.Context) error {
	return l.ApplyKustomization(ctx, filepath.Join(l.cfg.Root, "manifests"))
}

// ApplyKustomization applies a directory as `kubectl apply -k` does, except for Deployments and DaemonSets: nothing would
// run their pods; StartCCM and StartAnnouncer stand in for the product's. It returns when resource definitions are
// served.
func (l *Lab) ApplyKustomization(ctx context.Context, dir string) error {
	docs, err := l.renderManifests(ctx, dir)
	if err != nil {
		return err
	}
	docs = slices.DeleteFunc(docs, document.isWorkload)
	if _, err := l.kubectlApply(ctx, docs); err != nil {
		return fmt.Errorf("apply %s: %w", dir, err)
	}
	return l.awaitDefinitions(ctx, docs)
}

// DryRunManifests lets the API server validate all of manifests/, workloads too, and returns what it says about each
// object. The namespace and the definitions must be there already: see ApplyManifests.
func (l *Lab) DryRunManifests(ctx context.Context) (string, error) {
	docs, err := l.renderManifests(ctx, filepath.Join(l.cfg.Root, "manifests"))
	if err != nil {
		return "", err
	}
	return l.kubectlApply(ctx, docs, "--dry-run=server")
}

// Apply applies objects in YAML, as the administrator.
func (l *Lab) Apply(ctx context.Context, objects string) error {
	_, err := l.kubectl(ctx, []byte(objects), "apply", "--server-side", "--field-manager=lab", "--force-conflicts", "-f", "-")
	return err
}

// Kubectl runs kubectl as the administrator in the control plane's host and returns its output.
func (l *Lab) Kubectl(ctx context.Context, args ...string) (string, error) {
	return l.kubectl(ctx, nil, args...)
}

func (l *Lab) kubectl(ctx context.Context, stdin []byte, args ...string) (string, error) {
	argv := append([]string{filepath.Join(l.kube, "kubectl"), "--kubeconfig", l.Kubeconfig()}, args...)
	return l.execInput(ctx, ControlPlane, stdin, argv...)
}

func (d document) isWorkload() bool { return d.kind == "Deployment" || d.kind == "DaemonSet" }

// rank orders objects so that each finds what it needs.
func (d document) rank() int {
	if i := slices.Index([]string{"Namespace", "CustomResourceDefinition", "ServiceAccount"}, d.kind); i >= 0 {
		return i
	}
	return 3
}

func (l *Lab) renderManifests(ctx context.Context, dir string) ([]document, error) {
	rendered, err := l.Kubectl(ctx, "kustomize", dir)
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", dir, err)
	}
	docs, err := splitDocuments([]byte(rendered))
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", dir, err)
	}
	return docs, nil
}

// splitDocuments splits a stream of YAML documents and sorts them by rank.
func splitDocuments(stream []byte) ([]document, error) {
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(stream)))
	var docs []document
	for {
		data, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		var meta metav1.PartialObjectMetadata
		if err := sigsyaml.Unmarshal(data, &meta); err != nil {
			return nil, err
		}
		if meta.Kind != "" {
			docs = append(docs, document{kind: meta.Kind, name: meta.Name, yaml: data})
		}
	}
	slices.SortStableFunc(docs, func(a, b document) int { return a.rank() - b.rank() })
	return docs, nil
}

func (l *Lab) kubectlApply(ctx context.Context, docs []document, extra ...string) (string, error) {
	var stream bytes.Buffer
	for _, d := range docs {
		stream.WriteString("---\n")
		stream.Write(d.yaml)
		stream.WriteString("\n")
	}
	args := append([]string{"apply", "--server-side", "--field-manager=lab", "--force-conflicts", "-f", "-"}, extra...)
	return l.kubectl(ctx, stream.Bytes(), args...)
}

func (l *Lab) awaitDefinitions(ctx context.Context, docs []document) error {
	args := []string{"wait", "--for=condition=Established", "--timeout=30s"}
	given := len(args)
	for _, d := range docs {
		if d.kind == "CustomResourceDefinition" {
			args = append(args, "crd/"+d.name)
		}
	}
	if len(args) == given {
		return nil
	}
	_, err := l.Kubectl(ctx, args...)
	return err
}
