// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The limits on size. They are far above what is usual here.
const (
	maxFileLines     = 500
	maxFunctionLines = 80
	maxMainLines     = 60
)

func TestLicenceLine(t *testing.T) {
	for _, file := range sourceFiles(t) {
		if !strings.HasPrefix(string(file.text), "// SPDX-License-Identifier: Apache-2.0\n\n") {
			t.Errorf("%s: the first line must be the licence identifier, followed by a blank line: tools that list licences look there", file.path)
		}
	}
}

func TestEveryPackageIsDocumented(t *testing.T) {
	documented, dirs := map[string]bool{}, map[string]bool{}
	for _, file := range sourceFiles(t) {
		if !file.isTest() {
			dirs[file.dir()] = true
			documented[file.dir()] = documented[file.dir()] || len(file.ast.Doc.Text()) > 40
		}
	}
	for dir := range dirs {
		if !documented[dir] {
			t.Errorf("%s: the package has no doc comment: it says what the package owns and what it must not know", dir)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, file := range sourceFiles(t) {
		if file.lines > maxFileLines {
			t.Errorf("%s has %d lines, more than %d: it holds more than one idea", file.path, file.lines, maxFileLines)
		}
		if filepath.Base(file.path) == "main.go" && strings.HasPrefix(file.path, "cmd/") && file.lines > maxMainLines {
			t.Errorf("%s has %d lines, more than %d: main only puts the parts together", file.path, file.lines, maxMainLines)
		}
		for _, declaration := range file.ast.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if lines := file.line(function.End()) - file.line(function.Pos()) + 1; lines > maxFunctionLines {
				t.Errorf("%s:%d: %s has %d lines, more than %d: nobody reads it in one go",
					file.path, file.line(function.Pos()), function.Name.Name, lines, maxFunctionLines)
			}
		}
	}
}

// TestPackageNames refuses the names under which everything ends up.
func TestPackageNames(t *testing.T) {
	for _, file := range sourceFiles(t) {
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "types", "misc"}, file.ast.Name.Name) {
			t.Errorf("%s: a package is named after what it is about, and %q says nothing", file.path, file.ast.Name.Name)
		}
	}
}

// TestPureParts looks for clocks, sockets and locks in the packages that decide.
func TestPureParts(t *testing.T) {
	pure := []string{"pkg/ipam", "pkg/placement", "pkg/ownership"}
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}
	for _, file := range sourceFiles(t) {
		if file.isTest() || !slices.Contains(pure, file.dir()) {
			continue
		}
		for _, imported := range file.ast.Imports {
			if slices.Contains([]string{`"net"`, `"os"`, `"sync"`, `"syscall"`, `"math/rand"`, `"math/rand/v2"`, `"context"`}, imported.Path.Value) {
				t.Errorf("%s imports %s: what decides takes values and returns values", file.path, imported.Path.Value)
			}
		}
		ast.Inspect(file.ast, func(node ast.Node) bool {
			if call, ok := node.(*ast.SelectorExpr); ok && isName(call.X, "time") && slices.Contains(clock, call.Sel.Name) {
				t.Errorf("%s:%d reads the clock: the time is an argument, so that tests can run in virtual time", file.path, file.line(call.Pos()))
			}
			return true
		})
	}
}

// TestNoSleepInTests refuses to wait for time where a condition can be awaited. Inside testing/synctest sleeping is how
// virtual time goes on, so files that use it are free to.
func TestNoSleepInTests(t *testing.T) {
	for _, file := range sourceFiles(t) {
		if !file.isTest() || strings.Contains(string(file.text), `"testing/synctest"`) {
			continue
		}
		ast.Inspect(file.ast, func(node ast.Node) bool {
			if call, ok := node.(*ast.SelectorExpr); ok && isName(call.X, "time") && call.Sel.Name == "Sleep" {
				t.Errorf("%s:%d sleeps: a test that waits for time is slow on a good day and fails on a bad one", file.path, file.line(call.Pos()))
			}
			return true
		})
	}
}

// TestPackageState refuses package variables that can change, and init functions.
func TestPackageState(t *testing.T) {
	for _, file := range sourceFiles(t) {
		if file.isTest() {
			continue
		}
		for _, declaration := range file.ast.Decls {
			switch declared := declaration.(type) {
			case *ast.FuncDecl:
				if declared.Recv == nil && declared.Name.Name == "init" && !strings.HasPrefix(file.path, "pkg/api/v1alpha1/") {
					t.Errorf("%s:%d: init runs whoever imports the package: let the caller ask", file.path, file.line(declared.Pos()))
				}
			case *ast.GenDecl:
				if declared.Tok == token.VAR {
					checkVariables(t, file, declared)
				}
			}
		}
	}
}

func checkVariables(t *testing.T, file sourceFile, declared *ast.GenDecl) {
	t.Helper()
	for _, spec := range declared.Specs {
		values, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for i, name := range values.Names {
			embedded := declared.Doc != nil && strings.Contains(string(file.text[:file.fset.Position(declared.End()).Offset]), "//go:embed")
			if name.Name == "_" || embedded || (i < len(values.Values) && constantLike(file, values.Values[i])) {
				continue
			}
			t.Errorf("%s:%d: package variable %s: two instances in one process would share it; pass it in a struct",
				file.path, file.line(name.Pos()), name.Name)
		}
	}
}

// constantLike reports whether a value is one that Go cannot write as a constant: an error to compare with, a compiled
// expression, an address, or what registers the API types.
func constantLike(file sourceFile, value ast.Expr) bool {
	if file.dir() == "pkg/api/v1alpha1" && filepath.Base(file.path) == "register.go" {
		return true
	}
	call, ok := value.(*ast.CallExpr)
	if !ok {
		return false
	}
	function, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	for pkg, names := range map[string][]string{
		"errors": {"New"},
		"fmt":    {"Errorf"},
		"regexp": {"MustCompile"},
		"netip":  {"MustParseAddr", "MustParsePrefix", "AddrFrom4", "AddrFrom16", "PrefixFrom", "IPv6Unspecified", "IPv4Unspecified"},
	} {
		if isName(function.X, pkg) && slices.Contains(names, function.Sel.Name) {
			return true
		}
	}
	return false
}

func isName(expression ast.Expr, name string) bool {
	identifier, ok := expression.(*ast.Ident)
	return ok && identifier.Name == name
}
