// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDependenciesAreExplained holds docs/dependencies.md against go.mod.
func TestDependenciesAreExplained(t *testing.T) {
	explained := string(read(t, "docs/dependencies.md"))
	required := string(read(t, "go.mod"))
	direct := regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(required, -1)
	if len(direct) == 0 {
		t.Fatal("found no direct dependency in go.mod: the expression is wrong")
	}
	for _, match := range direct {
		if !strings.Contains(explained, "| `"+match[1]+"` |") {
			t.Errorf("docs/dependencies.md has no line for %s: it says what the dependency is for and what was considered instead", match[1])
		}
	}
	for _, match := range regexp.MustCompile("(?m)^\\| `(\\S+)` \\|").FindAllStringSubmatch(explained, -1) {
		if !strings.Contains(required, "\t"+match[1]+" v") {
			t.Errorf("docs/dependencies.md explains %s, which go.mod does not require", match[1])
		}
	}
}

// TestFieldsAreExplained looks through docs/api.md, which is made from the comments of the API types.
func TestFieldsAreExplained(t *testing.T) {
	fields := regexp.MustCompile("(?m)^\\| `(\\S+)` \\| (.*?) \\| (.*) \\|$").FindAllStringSubmatch(string(read(t, "docs/api.md")), -1)
	if len(fields) == 0 {
		t.Fatal("found no field in docs/api.md: the expression is wrong")
	}
	for _, field := range fields {
		if strings.TrimPrefix(field[3], "Required.") == "" || strings.HasPrefix(field[3], "One of") {
			t.Errorf("docs/api.md says nothing of the field %s: its Go type has no comment", field[1])
		}
	}
}

// TestLinksResolve follows the links of all documents to files of the repository.
func TestLinksResolve(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)
	for _, document := range paths(t, ".md") {
		for _, match := range link.FindAllStringSubmatch(string(read(t, document)), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			target := filepath.Join(filepath.Dir(document), match[1])
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s, which is not there", document, target)
			}
		}
	}
}

// TestNoMachinePaths looks for paths that exist on one machine only.
func TestNoMachinePaths(t *testing.T) {
	local := regexp.MustCompile(`(^|[\s"'=(:` + "`" + `])/(work|root|home)/`)
	for _, ending := range []string{".go", ".md", ".yaml", ".yml", ".mod", "Makefile", ".sh"} {
		for _, path := range paths(t, ending) {
			if match := local.Find(read(t, path)); match != nil {
				t.Errorf("%s mentions %q: the repository works wherever it is", path, match)
			}
		}
	}
}

// TestTopLevel keeps the top of the repository to what the layout in docs/architecture.md names.
func TestTopLevel(t *testing.T) {
	allowed := " .ci .git .gitignore LICENSE Makefile README.md bin cmd docs e2e go.mod go.sum manifests pkg provider "
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !strings.Contains(allowed, " "+entry.Name()+" ") {
			t.Errorf("%s at the top of the repository: a newcomer reads this list first, so it stays short", entry.Name())
		}
	}
}

// TestPackagesAreExplained wants each package of the product in the table of docs/architecture.md.
func TestPackagesAreExplained(t *testing.T) {
	table := string(read(t, "docs/architecture.md"))
	entries, err := os.ReadDir(filepath.Join(root, "pkg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		row := regexp.MustCompile("(?m)^\\| `pkg/" + entry.Name() + "[`/]")
		if !row.MatchString(table) {
			t.Errorf("docs/architecture.md has no row for pkg/%s: what it owns, and what it must not know", entry.Name())
		}
	}
}
