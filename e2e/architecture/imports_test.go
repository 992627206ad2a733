// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// A rule limits what packages reach, directly or through others. Patterns are import paths, and "/..." at the end takes
// in what is below; those that begin with "./" are of this module.
type rule struct {
	packages []string
	// only, if not empty, lists all that may be reached beside the standard library and the package itself.
	only []string
	// never lists what must not be reached, but for what except lists.
	never  []string
	except []string
	reason string
}

func rules() []rule {
	return []rule{
		{
			packages: []string{"./pkg/ipam"}, only: []string{"go4.org/netipx", "go4.org/...", "github.com/google/btree", "./pkg/due"},
			reason: "address arithmetic and the index are values in, values out: they run and are tested without a cluster",
		},
		{
			packages: []string{"./pkg/placement", "./pkg/ownership"}, only: []string{"go4.org/netipx", "go4.org/..."},
			reason: "who announces an address is decided by pure functions, which a simulation in virtual time can drive",
		},
		{
			packages: []string{"./pkg/settings"}, never: []string{"k8s.io/client-go/...", "k8s.io/cloud-provider/..."},
			reason: "what annotations mean is a function of the Service alone",
		},
		{
			packages: []string{"./pkg/api/v1alpha1"},
			never:    []string{"k8s.io/client-go/...", "./pkg/ipam", "./pkg/settings", "./pkg/announcer/...", "./pkg/controller"},
			reason:   "API types have no behaviour: whoever uses the API takes in nothing else",
		},
		{
			packages: []string{"./pkg/l2", "./pkg/membership", "./pkg/bgp", "./pkg/health", "./pkg/access"},
			never:    []string{"k8s.io/...", "sigs.k8s.io/...", "./pkg/api/..."}, except: []string{"k8s.io/klog/..."},
			reason: "protocols know nothing of Kubernetes: they can be tested on a wire and used without a cluster",
		},
		{
			packages: []string{"./pkg/l2", "./pkg/membership", "./pkg/bgp", "./pkg/health", "./pkg/access"}, never: []string{"./pkg/announcer/...", "./pkg/ownership"},
			reason: "protocols do what they are told: they do not know who decides",
		},
		{
			packages: []string{"./pkg/l2", "./pkg/health", "./pkg/access"}, never: []string{"os/exec"},
			reason: "the announcer's image holds no other program to run: the kernel is spoken to by its own interfaces",
		},
		{
			packages: []string{"./pkg/announcer", "./cmd/fairlead-announcer"},
			never:    []string{"k8s.io/apiserver/...", "k8s.io/cloud-provider/...", "./provider", "./pkg/controller", "./pkg/loadbalancer"},
			reason:   "the agent runs on every node: it carries no part of a server, and allocates nothing",
		},
		{
			packages: []string{"./pkg/announcer", "./cmd/fairlead-announcer"}, never: []string{"./pkg/settings"},
			reason: "annotations are parsed once, by the controller: agents read the VirtualIP",
		},
		{
			packages: []string{"./pkg/controller", "./pkg/loadbalancer", "./provider"},
			never: []string{
				"github.com/mdlayher/...", "github.com/hashicorp/memberlist", "github.com/vishvananda/...", "github.com/osrg/...",
				"github.com/google/nftables/...",
				"./pkg/l2", "./pkg/bgp", "./pkg/membership", "./pkg/health", "./pkg/access", "./pkg/announcer/...",
			},
			reason: "the controller speaks to the API server only; what is on the wire is the announcers'",
		},
		{
			packages: []string{"./pkg/diagnosis"}, never: []string{"./pkg/api/client/clientset/versioned/fake", "k8s.io/cli-runtime/..."},
			reason: "answers are values: how they are fetched and shown is the plugin's",
		},
		{
			packages: []string{"./pkg/..."}, never: []string{"./provider", "./cmd/...", "./e2e/..."},
			reason: "dependencies point from the programs to the packages, never back",
		},
	}
}

// TestImports checks what each package reaches against the rules.
func TestImports(t *testing.T) {
	graph := importGraph(t)
	for _, r := range rules() {
		for _, pkg := range slices.Sorted(maps.Keys(graph)) {
			if !matches(r.packages, pkg) {
				continue
			}
			for reached, through := range reach(graph, pkg) {
				if r.forbids(graph, reached) {
					t.Errorf("%s reaches %s through %s: %s", pkg, reached, through, r.reason)
				}
			}
		}
	}
}

func (r rule) forbids(graph map[string]listed, pkg string) bool {
	if len(r.only) > 0 {
		return !graph[pkg].Standard && pkg != "C" && !matches(r.only, pkg)
	}
	return matches(r.never, pkg) && !matches(r.except, pkg)
}

func matches(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if local, ok := strings.CutPrefix(pattern, "./"); ok {
			pattern = path.Join(module, local)
		}
		if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
			return pkg == prefix || strings.HasPrefix(pkg, prefix+"/")
		}
		return pkg == pattern
	})
}

// listed is what go list tells of a package.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

// importGraph lists the packages of the product and all that they reach, without tests.
func importGraph(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Imports", "./cmd/...", "./pkg/...", "./provider/...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %s", failed.Stderr)
		}
		t.Fatal(err)
	}
	graph := map[string]listed{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg listed
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			return graph
		} else if err != nil {
			t.Fatal(err)
		}
		graph[pkg.ImportPath] = pkg
	}
}

// reach returns every package that pkg depends on, each with the package of this module or the library that brings it in:
// the first step on the way.
func reach(graph map[string]listed, pkg string) map[string]string {
	found := map[string]string{}
	var walk func(from, first string)
	walk = func(from, first string) {
		for _, next := range graph[from].Imports {
			via := first
			if via == "" {
				via = next
			}
			if _, seen := found[next]; !seen {
				found[next] = via
				walk(next, via)
			}
		}
	}
	walk(pkg, "")
	return found
}
