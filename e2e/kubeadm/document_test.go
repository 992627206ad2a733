// SPDX-License-Identifier: Apache-2.0

package kubeadm_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-io/fairlead/e2e/kubeadm"
	"github.com/fairlead-io/fairlead/e2e/lab"
)

const page = "# Page\n\n```sh\nexample\n```\n\n## First\n\n```sh worker\n# a comment\none\n```\n\n1. In a list:\n\n   ```sh kubectl\n   two\n   ```\n\n" +
	"## Second\n\n```sh kubectl\nthree\n```\n"

func TestBlocksOfADocument(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "page.md"), []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := kubeadm.ReadDocument(root, "page.md")
	if err != nil {
		t.Fatal(err)
	}
	first, err := d.Take("First")
	if err != nil {
		t.Fatal(err)
	}
	want := []kubeadm.Block{
		{Document: "page.md", Section: "First", Where: "worker", Script: "# a comment\none\n", Line: 9},
		{Document: "page.md", Section: "First", Where: "kubectl", Script: "   two\n", Line: 16},
	}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	left := []kubeadm.Block{{Document: "page.md", Section: "Second", Where: "kubectl", Script: "three\n", Line: 22}}
	if diff := cmp.Diff(left, d.Left()); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	if again, err := d.Take("First"); err == nil {
		t.Errorf("took %v twice", again)
	}
}

// TestAPIServersAddressOutOfAKubeconfig runs the command of docs/install.md with a kubectl that only says what it is asked.
func TestAPIServersAddressOutOfAKubeconfig(t *testing.T) {
	root, err := lab.FindRoot()
	if err != nil {
		t.Fatal(err)
	}
	d, err := kubeadm.ReadDocument(root, "docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := d.Take("2. The API server's real address")
	if err != nil || len(blocks) != 1 {
		t.Fatalf("%d blocks, %v", len(blocks), err)
	}
	const kubectl = "kubectl() { case $1 in config) echo \"$SERVER\";; -n) shift 5; echo \"$@\";; esac; }\n"
	for server, want := range map[string]string{
		"https://192.0.2.10:6443":       "192.0.2.10 6443",
		"https://[2001:db8::10]:6443":   "2001:db8::10 6443",
		"https://[2001:db8::10]":        "2001:db8::10 443",
		"https://api.example.com":       "api.example.com 443",
		"https://api.example.com/":      "api.example.com 443",
		"https://api.example.com:8443/": "api.example.com 8443",
	} {
		cmd := exec.CommandContext(t.Context(), "bash", "-euc", kubectl+blocks[0].Script)
		cmd.Env = append(os.Environ(), "SERVER="+server)
		out, err := cmd.Output()
		host, port, _ := strings.Cut(want, " ")
		if want := "--from-literal=KUBERNETES_SERVICE_HOST=" + host + " --from-literal=KUBERNETES_SERVICE_PORT=" + port; err != nil ||
			strings.TrimSpace(string(out)) != want {
			t.Errorf("of %s: %q, %v, want %q", server, out, err, want)
		}
	}
}
