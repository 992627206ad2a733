// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

const (
	announcer = "DaemonSet " + namespace + "/fairlead-announcer"
	manager   = "Deployment " + namespace + "/fairlead-cloud-controller-manager"
)

// ports are the values that the examples of the documents have as patches.
const ports = `{announcer: {gossipPort: 7956, metricsPort: 7490}, cloudControllerManager: {securePort: 10268}}`

// container is what a port stands in.
type container struct {
	Args  []string `json:"args"`
	Ports []struct {
		Name          string `json:"name"`
		ContainerPort int    `json:"containerPort"`
		Protocol      string `json:"protocol"`
	} `json:"ports"`
	LivenessProbe  probe `json:"livenessProbe"`
	ReadinessProbe probe `json:"readinessProbe"`
}

type probe struct {
	HTTPGet struct {
		Port int `json:"port"`
	} `json:"httpGet"`
}

// places prints where a workload has its ports, and what it adds to the arguments.
func places(t *testing.T, object map[string]any) string {
	t.Helper()
	text, err := yaml.Marshal(dig(object, "spec", "template", "spec")["containers"])
	if err != nil {
		t.Fatal(err)
	}
	var all []container
	if err := yaml.Unmarshal(text, &all); err != nil || len(all) != 1 {
		t.Fatalf("%d containers, %v:\n%s", len(all), err, text)
	}
	var out []string
	for _, port := range all[0].Ports {
		out = append(out, strings.TrimSuffix(fmt.Sprintf("%s %d/%s", port.Name, port.ContainerPort, port.Protocol), "/"))
	}
	out = append(out, fmt.Sprintf("probes %d %d", all[0].LivenessProbe.HTTPGet.Port, all[0].ReadinessProbe.HTTPGet.Port))
	arguments := slices.Clone(all[0].Args[2:])
	slices.Sort(arguments)
	return strings.Join(append(out, arguments...), "\n")
}

// TestOtherPorts: a port changes in the argument, in the pod and in the probes, by the chart's values and by the patches of
// docs/flags.md alike.
func TestOtherPorts(t *testing.T) {
	var values map[string]any
	if err := yaml.Unmarshal([]byte(ports), &values); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		announcer: "metrics 7490\ngossip 7956\nheartbeat 7957/UDP\nprobes 7490 7490\n--gossip-port=7956\n--metrics-bind-address=0.0.0.0:7490",
		manager:   "https 10268\nprobes 10268 10268\n--secure-port=10268",
	}
	by := map[string]objects{"values": mustRender(t, namespace, values), "patches": overlaid(t, "flags.md", "Other ports")}
	for way, objects := range by {
		for key, want := range want {
			if diff := cmp.Diff(want, places(t, objects[key])); diff != "" {
				t.Errorf("%s by %s (-want +got):\n%s", key, way, diff)
			}
		}
	}
}

// TestBesideAnother: the patches with which docs/classes.md has Fairlead tried beside MetalLB.
func TestBesideAnother(t *testing.T) {
	patched := overlaid(t, "classes.md", "To try Fairlead beside it")
	for key, want := range map[string]string{
		announcer: "metrics 7480\ngossip 7956\nheartbeat 7957/UDP\nprobes 7480 7480\n--gossip-port=7956",
		manager: "https 10258\nprobes 10258 10258\n" +
			"--controllers=cloud-node-controller,cloud-node-lifecycle-controller,fairlead-controller",
	} {
		if diff := cmp.Diff(want, places(t, patched[key])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
}

// overlaid builds an overlay with the patches that a section of a document shows.
func overlaid(t *testing.T, document, section string) objects {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", document))
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "# "+section+"\n")
	block := regexp.MustCompile("(?s)```yaml\n(patches:.*?)```").FindStringSubmatch(after)
	if !found || block == nil {
		t.Fatalf("docs/%s has no patches in a section %q", document, section)
	}
	dir := t.TempDir()
	base, err := filepath.Abs(manifests)
	if err != nil {
		t.Fatal(err)
	}
	if base, err = filepath.Rel(dir, base); err != nil {
		t.Fatal(err)
	}
	overlay := fmt.Sprintf("resources: [%s]\n%s", base, block[1])
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(overlay), 0o600); err != nil {
		t.Fatal(err)
	}
	return kustomized(t, dir)
}

// TestPortsByArgumentAlone: an argument that the pod would not follow is refused, with the value that does both.
func TestPortsByArgumentAlone(t *testing.T) {
	for values, instead := range map[string]string{
		`{announcer: {extraArgs: [--gossip-port=7956]}}`:                      "announcer.gossipPort",
		`{announcer: {extraArgs: ["--metrics-bind-address=127.0.0.1:7490"]}}`: "announcer.metricsPort",
		`{cloudControllerManager: {extraArgs: [--secure-port=10268]}}`:        "cloudControllerManager.securePort",
		`{announcer: {extraArgs: ["--metrics-bind-address=127.0.0.1:7480"]}}`: "",
	} {
		var parsed map[string]any
		if err := yaml.Unmarshal([]byte(values), &parsed); err != nil {
			t.Fatal(err)
		}
		_, err := render(t, namespace, parsed)
		if (instead == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), "set "+instead+" instead") {
			t.Errorf("values %s: %v, want %q to be named", values, err, instead)
		}
	}
}

// TestOneEntryForANumber: kubectl apply and Helm merge ports by their number, and lose one of two that have the same when
// the number changes.
func TestOneEntryForANumber(t *testing.T) {
	for key, object := range kustomized(t, manifests) {
		seen := map[string]bool{}
		for _, one := range regexp.MustCompile(`(?m)^\S+ (\d+)(/\w+)?$`).FindAllStringSubmatch(portsOf(t, key, object), -1) {
			if seen[one[1]] {
				t.Errorf("%s has port %s twice", key, one[1])
			}
			seen[one[1]] = true
		}
	}
}

// portsOf is places, of workloads.
func portsOf(t *testing.T, key string, object map[string]any) string {
	t.Helper()
	if key != announcer && key != manager {
		return ""
	}
	return places(t, object)
}
