// SPDX-License-Identifier: Apache-2.0

package kubeadm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

func TestAdaptKeepsWhatTheFileSays(t *testing.T) {
	const file = "# about\nkind: InitConfiguration\nnodeRegistration:\n  kubeletExtraArgs: [{name: a, value: b}]\n---\nkind: KubeProxyConfiguration\nmode: nftables\n"
	got, err := adapt([]byte(file), map[string]map[string]any{
		"InitConfiguration":      {"nodeRegistration": map[string]any{"ignorePreflightErrors": []any{"X"}}},
		"KubeProxyConfiguration": {"conntrack": map[string]any{"min": 0}},
		"KubeletConfiguration":   {"failCgroupV1": false},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `---
kind: InitConfiguration
nodeRegistration:
  ignorePreflightErrors:
  - X
  kubeletExtraArgs:
  - name: a
    value: b
---
conntrack:
  min: 0
kind: KubeProxyConfiguration
mode: nftables
---
failCgroupV1: false
kind: KubeletConfiguration
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestConfigurationsAreValid asks kubeadm about the files of the tree as they are, with the placeholders filled in and, for
// ipvs.yaml, in the place that it says.
func TestConfigurationsAreValid(t *testing.T) {
	if testing.Short() {
		t.Skip("kubeadm may have to be built first, which is not short")
	}
	root, err := lab.FindRoot()
	if err != nil {
		t.Fatal(err)
	}
	kubernetes, err := lab.Kubernetes(root, true)
	if err != nil {
		t.Fatal(err)
	}
	programs, err := kubernetes.Build(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(root, "manifests", "kubeadm", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	initial := read("init.yaml")
	first := initial[:strings.LastIndex(initial, "---")]
	for name, config := range map[string]string{
		"init": initial,
		"ipvs": first + "---\n" + read("ipvs.yaml"),
		"join": strings.NewReplacer("TOKEN", "abcdef.0123456789abcdef", "[HASH]", "[sha256:"+strings.Repeat("0", 64)+"]").Replace(read("join.yaml")),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), filepath.Join(programs, "kubeadm"), "config", "validate", "--config", path).CombinedOutput()
			if err != nil || strings.Contains(strings.ToLower(string(out)), "warning") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
