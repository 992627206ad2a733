// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"go/ast"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestMetricsAreExplained holds the metrics that the documents name against those that the programs export.
func TestMetricsAreExplained(t *testing.T) {
	exported := inProduct(t, metricNames)
	if len(exported) < 40 {
		t.Fatalf("found %d metrics: the test does not know how they are made any more", len(exported))
	}
	documented := map[string]string{}
	for _, path := range paths(t, ".md") {
		if strings.HasPrefix(path, "docs/decisions/") {
			continue
		}
		for _, name := range regexp.MustCompile(`\bfairlead_(announcer|pool|allocation)_[a-z_]+`).FindAllString(string(read(t, path)), -1) {
			documented[name] = path
		}
	}
	same := func(documented, exported string) bool { return strings.HasSuffix(documented, "_"+exported) }
	for _, name := range slices.Sorted(maps.Keys(exported)) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(documented)), func(d string) bool { return same(d, name) }) {
			t.Errorf("no document has the metric %s of %s: docs/monitoring.md lists them", name, exported[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(exported)), func(e string) bool { return same(name, e) }) {
			t.Errorf("%s names the metric %s, which nothing exports", documented[name], name)
		}
	}
}

// metricNames finds the ends of the names of metrics that a file makes: what comes after the namespace and the subsystem.
func metricNames(file sourceFile) map[string]token.Pos {
	found := map[string]token.Pos{}
	if !slices.ContainsFunc(file.ast.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"k8s.io/component-base/metrics"` }) {
		return found
	}
	add := func(e ast.Expr) {
		if sum, ok := e.(*ast.BinaryExpr); ok {
			e = sum.Y
		}
		if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			name := strings.TrimPrefix(strings.Trim(literal.Value, `"`), "_")
			if regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`).MatchString(name) {
				found[name] = literal.Pos()
			}
		}
	}
	ast.Inspect(file.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Name" {
				add(n.Value)
			}
		case *ast.CallExpr:
			switch called := n.Fun.(type) {
			case *ast.Ident: // a local function that knows the rest of the name
				if slices.Contains([]string{"gauge", "opts", "histogram", "counter", "desc"}, called.Name) {
					add(n.Args[0])
				}
			case *ast.SelectorExpr:
				if called.Sel.Name == "NewDesc" {
					add(n.Args[0])
				}
			}
		}
		return true
	})
	return found
}
