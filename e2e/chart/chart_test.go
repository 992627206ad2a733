// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const (
	manifests = "../../manifests"
	chart     = manifests + "/charts/fairlead"
	namespace = "fairlead-system"
)

// objects are objects by kind, namespace and name.
type objects map[string]map[string]any

// render renders the chart with values, after they have passed its schema.
func render(t *testing.T, in string, values map[string]any) (objects, error) {
	t.Helper()
	loaded, err := loader.Load(chart)
	if err != nil {
		t.Fatal(err)
	}
	options := chartutil.ReleaseOptions{Name: "fairlead", Namespace: in, IsInstall: true}
	all, err := chartutil.ToRenderValues(loaded, values, options, nil)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(loaded, all)
	if err != nil {
		return nil, err
	}
	found := objects{}
	for name, text := range files {
		if strings.HasSuffix(name, ".yaml") {
			found.add(t, []byte(text))
		}
	}
	return found, nil
}

func mustRender(t *testing.T, in string, values map[string]any) objects {
	t.Helper()
	rendered, err := render(t, in, values)
	if err != nil {
		t.Fatal(err)
	}
	return rendered
}

func kustomized(t *testing.T, dir string) objects {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	found := objects{}
	found.add(t, text)
	return found
}

// add adds the objects of a YAML stream.
func (o objects) add(t *testing.T, stream []byte) {
	t.Helper()
	for document := range bytes.SplitSeq(stream, []byte("\n---\n")) {
		var object map[string]any
		if err := yaml.UnmarshalStrict(document, &object); err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("%v:\n%s", err, document)
		}
		if len(object) == 0 {
			continue
		}
		metadata := object["metadata"].(map[string]any)
		key := fmt.Sprintf("%v %v/%v", object["kind"], metadata["namespace"], metadata["name"])
		if _, twice := o[key]; twice {
			t.Errorf("%s is there twice", key)
		}
		o[key] = object
	}
}

// dig returns what is at a path of keys; it makes the maps on the way.
func dig(object map[string]any, path ...string) map[string]any {
	for _, key := range path {
		next, ok := object[key].(map[string]any)
		if !ok {
			next = map[string]any{}
			object[key] = next
		}
		object = next
	}
	return object
}

// TestSameObjects: with default values, but for the tag of the images, the chart makes what kubectl apply -k makes. Two
// things are Helm's own: the namespace, which Helm makes, and the annotation that keeps resource definitions, and with
// them everybody's addresses, when the release is uninstalled.
func TestSameObjects(t *testing.T) {
	want := kustomized(t, manifests)
	got := mustRender(t, namespace, map[string]any{"image": map[string]any{"tag": "dev"}})
	delete(want, "Namespace <nil>/"+namespace)
	for key, object := range got {
		labels := dig(object, "metadata", "labels")
		if labels["app.kubernetes.io/managed-by"] != "Helm" {
			t.Errorf("%s does not say that Helm manages it", key)
		}
		delete(labels, "app.kubernetes.io/managed-by")
		delete(labels, "helm.sh/chart")
		if strings.HasPrefix(key, "CustomResourceDefinition ") {
			annotations := dig(object, "metadata", "annotations")
			if annotations["helm.sh/resource-policy"] != "keep" {
				t.Errorf("%s: helm uninstall would delete it, and all objects of the kind", key)
			}
			delete(annotations, "helm.sh/resource-policy")
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("objects (-kustomize +helm):\n%s", diff)
	}
	for key, object := range got {
		if diff := cmp.Diff(want[key], object); diff != "" && want[key] != nil {
			t.Errorf("%s (-kustomize +helm):\n%s", key, diff)
		}
	}
}

// TestAnotherNamespace: nothing of the default one is left, and the programs are told.
func TestAnotherNamespace(t *testing.T) {
	for key, object := range mustRender(t, "lb", nil) {
		text, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(key, "CustomResourceDefinition ") && bytes.Contains(text, []byte(namespace)) {
			t.Errorf("%s mentions %s:\n%s", key, namespace, text)
		}
		switch key {
		case "ConfigMap lb/fairlead-cloud-config":
			if !bytes.Contains(text, []byte("namespace: lb")) {
				t.Errorf("the cloud config does not name the namespace:\n%s", text)
			}
		case "Deployment lb/fairlead-cloud-controller-manager":
			if !bytes.Contains(text, []byte("--leader-elect-resource-namespace=lb")) {
				t.Errorf("the lease is not in the namespace:\n%s", text)
			}
		}
	}
}

func TestValues(t *testing.T) {
	for _, test := range []struct {
		name, values, object, want string
	}{
		{"images from a registry", `{image: {registry: registry.example.org, tag: v9}}`, "DaemonSet fairlead-system/fairlead-announcer", "image: registry.example.org/fairlead/announcer:v9"},
		{"how images are pulled", `{image: {pullPolicy: Always, pullSecrets: [{name: s}]}}`, "Deployment fairlead-system/fairlead-cloud-controller-manager", "imagePullSecrets:\n      - name: s"},
		{"the cloud config", `{cloudConfig: {nodes: {excludeLabel: Ignore}}}`, "ConfigMap fairlead-system/fairlead-cloud-config", "excludeLabel: Ignore"},
		{"the API server's address", `{apiServer: {host: 192.0.2.1, port: 6443}}`, "ConfigMap fairlead-system/fairlead-api-server", "KUBERNETES_SERVICE_HOST: 192.0.2.1"},
		{"replicas", `{cloudControllerManager: {replicas: 3}}`, "Deployment fairlead-system/fairlead-cloud-controller-manager", "replicas: 3"},
		{"controllers", `{cloudControllerManager: {extraArgs: [--controllers=fairlead-controller]}}`, "Deployment fairlead-system/fairlead-cloud-controller-manager", "- --controllers=fairlead-controller"},
		{"resources", `{announcer: {resources: {limits: {memory: 99Mi}}}}`, "DaemonSet fairlead-system/fairlead-announcer", "memory: 99Mi"},
		{"where announcers run", `{announcer: {nodeSelector: {edge: "yes"}}}`, "DaemonSet fairlead-system/fairlead-announcer", "edge: \"yes\""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var values map[string]any
			if err := yaml.Unmarshal([]byte(test.values), &values); err != nil {
				t.Fatal(err)
			}
			object, ok := mustRender(t, namespace, values)[test.object]
			text, err := yaml.Marshal(object)
			if !ok || err != nil || !strings.Contains(string(text), test.want) {
				t.Errorf("%s, want %q in it (%v):\n%s", test.object, test.want, err, text)
			}
		})
	}
}

// TestWrongValuesAreRefused: a slip of the finger is an error, not a default.
func TestWrongValuesAreRefused(t *testing.T) {
	for _, values := range []string{
		`{images: {}}`, `{image: {tags: v1}}`, `{cloudControllerManager: {replicas: two}}`, `{cloudControllerManager: {replicas: 0}}`,
		`{apiServer: {host: 192.0.2.1}}`, `{apiServer: {port: 6443}}`, `{image: {pullPolicy: Sometimes}}`, `{crds: {install: "yes"}}`,
	} {
		var parsed map[string]any
		if err := yaml.Unmarshal([]byte(values), &parsed); err != nil {
			t.Fatal(err)
		}
		if _, err := render(t, namespace, parsed); err == nil {
			t.Errorf("values %s were taken", values)
		}
	}
}

func TestDefinitionsCanBeLeftOut(t *testing.T) {
	for key := range mustRender(t, namespace, map[string]any{"crds": map[string]any{"install": false}}) {
		if strings.HasPrefix(key, "CustomResourceDefinition ") {
			t.Errorf("%s is there", key)
		}
	}
}
