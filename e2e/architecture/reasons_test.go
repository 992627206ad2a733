// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"go/ast"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestReasonsAreExplained holds the table of docs/troubleshooting.md against the reasons of events and conditions that the
// code gives.
func TestReasonsAreExplained(t *testing.T) {
	given := inProduct(t, reasons)
	explained := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z][A-Za-z]+)` \\|").FindAllStringSubmatch(string(read(t, "docs/troubleshooting.md")), -1) {
		explained[row[1]] = true
	}
	for _, reason := range slices.Sorted(maps.Keys(given)) {
		if !explained[reason] {
			t.Errorf("docs/troubleshooting.md has no line for the reason %s of %s: what it means, and what to do", reason, given[reason])
		}
	}
	for reason := range explained {
		if given[reason] == "" {
			t.Errorf("docs/troubleshooting.md explains the reason %s, which nothing gives", reason)
		}
	}
}

// reasons finds the reasons that a file gives: constants that are called so, and literals where one is told.
func reasons(file sourceFile) map[string]token.Pos {
	found := map[string]token.Pos{}
	add := func(e ast.Expr) {
		literal, ok := e.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return
		}
		if text, err := strconv.Unquote(literal.Value); err == nil && regexp.MustCompile(`^[A-Z][a-z]+([A-Z]+[a-z]+)*$`).MatchString(text) {
			found[text] = literal.Pos()
		}
	}
	ast.Inspect(file.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for i, name := range n.Names {
				// Those of a type of their own are for code.
				if n.Type == nil && i < len(n.Values) && strings.HasPrefix(strings.ToLower(name.Name), "reason") {
					add(n.Values[i])
				}
			}
		case *ast.AssignStmt:
			for i, to := range n.Lhs {
				if field, ok := to.(*ast.SelectorExpr); ok && field.Sel.Name == "Reason" && len(n.Lhs) == len(n.Rhs) {
					add(n.Rhs[i])
				}
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Reason" {
				add(n.Value)
			}
		case *ast.CallExpr:
			if called, ok := n.Fun.(*ast.SelectorExpr); ok && regexp.MustCompile(`Eventf?$`).MatchString(called.Sel.Name) {
				for _, argument := range n.Args {
					add(argument)
				}
			}
		}
		return true
	})
	return found
}
