// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// module is the path of the product's module.
const module = "github.com/fairlead-io/fairlead"

// root is the top of the repository, seen from the directory in which the tests run.
const root = "../.."

// sourceFile is a Go file that people write.
type sourceFile struct {
	path  string // below root
	lines int
	text  []byte
	ast   *ast.File
	fset  *token.FileSet
}

func (f sourceFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

func (f sourceFile) dir() string { return filepath.Dir(f.path) }

// line returns the line of a position in the file.
func (f sourceFile) line(p token.Pos) int { return f.fset.Position(p).Line }

// sourceFiles parses all Go files of the repository but the generated ones and those that only pin versions of tools.
func sourceFiles(t *testing.T) []sourceFile {
	t.Helper()
	var files []sourceFile
	for _, path := range paths(t, ".go") {
		text := read(t, path)
		if bytes.HasPrefix(text, []byte("//go:build tools\n")) {
			continue
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if !ast.IsGenerated(parsed) {
			files = append(files, sourceFile{path: path, lines: bytes.Count(text, []byte("\n")), text: text, ast: parsed, fset: fset})
		}
	}
	if len(files) == 0 {
		t.Fatal("found no Go file: the test looks in the wrong directory")
	}
	return files
}

// inProduct returns what find finds in the code of the programs, each with where that is.
func inProduct(t *testing.T, find func(sourceFile) map[string]token.Pos) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, file := range sourceFiles(t) {
		if file.isTest() || strings.HasPrefix(file.path, "e2e/") {
			continue
		}
		for name, at := range find(file) {
			found[name] = file.path + ":" + strconv.Itoa(file.line(at))
		}
	}
	return found
}

// paths lists the files of the repository with the given ending, below root.
func paths(t *testing.T, ending string) []string {
	t.Helper()
	var found []string
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (path == ".git" || path == "bin" || entry.Name() == "testdata"):
			return fs.SkipDir
		case !entry.IsDir() && strings.HasSuffix(path, ending):
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
