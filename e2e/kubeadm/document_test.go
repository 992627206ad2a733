// SPDX-License-Identifier: Apache-2.0

package kubeadm_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-io/fairlead/e2e/kubeadm"
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
