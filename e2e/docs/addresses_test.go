// SPDX-License-Identifier: Apache-2.0

// Package docs applies the examples of docs/ to a lab and checks what they say comes of them.
package docs

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// step is YAML to apply and what comes of it.
type step struct {
	yaml    string
	results []result
}

type result struct{ service, gets, waits string }

type section struct {
	title string
	steps []step
}

// TestAddresses applies each section of docs/addresses.md in a namespace of its own.
func TestAddresses(t *testing.T) {
	root, err := lab.FindRoot()
	if err != nil {
		t.Fatal(err)
	}
	sections := parse(t, filepath.Join(root, "docs", "addresses.md"))
	if len(sections) < 7 {
		t.Fatalf("found %d sections with examples: has the page another form?", len(sections))
	}
	cloud := lab.ForTest(t, lab.Config{Nodes: 1})
	ctx := t.Context()
	if err := cloud.ApplyManifests(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := cloud.StartCCM(ctx, "ccm", lab.CCMOptions{Restart: true}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // kubectl takes a comma in a name for the end of it, and the titles of sections have some
	for i, section := range sections {
		t.Run(section.title, func(t *testing.T) { section.run(t, cloud, dir, fmt.Sprintf("example-%d", i)) })
	}
}

func (s section) run(t *testing.T, cloud *lab.Lab, dir, namespace string) {
	ctx := t.Context()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := cloud.Client().CoreV1().Namespaces().Create(ctx, object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for i, step := range s.steps {
		file := filepath.Join(dir, fmt.Sprintf("%s-%d.yaml", namespace, i))
		if err := os.WriteFile(file, []byte(step.yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := cloud.Kubectl(ctx, "apply", "-n", namespace, "-f", file); err != nil {
			t.Fatalf("applying: %v\n%s", err, out)
		}
		for _, want := range step.results {
			want.check(ctx, t, cloud, namespace)
		}
	}
	// A pool of this section must not serve the next one.
	if out, err := cloud.Kubectl(ctx, "delete", "addresspools", "--all"); err != nil {
		t.Fatalf("deleting the pools: %v\n%s", err, out)
	}
}

func (r result) check(ctx context.Context, t *testing.T, cloud *lab.Lab, namespace string) {
	t.Helper()
	if r.gets != "" {
		lab.Await(ctx, t, fmt.Sprintf("Service %s gets %s", r.service, r.gets), func(ctx context.Context) (bool, string, error) {
			service, err := cloud.Client().CoreV1().Services(namespace).Get(ctx, r.service, metav1.GetOptions{})
			if err != nil {
				return false, "", err
			}
			var addresses []string
			for _, ingress := range service.Status.LoadBalancer.Ingress {
				addresses = append(addresses, ingress.IP)
			}
			got := strings.Join(addresses, " ")
			return got == r.gets, "it has " + got, nil
		})
		return
	}
	lab.Await(ctx, t, fmt.Sprintf("an event of Service %s says %q", r.service, r.waits), func(ctx context.Context) (bool, string, error) {
		events, err := cloud.Client().CoreV1().Events(namespace).List(ctx, metav1.ListOptions{
			FieldSelector: "involvedObject.name=" + r.service,
		})
		if err != nil {
			return false, "", err
		}
		var texts []string
		for _, event := range events.Items {
			texts = append(texts, event.Message)
		}
		all := strings.Join(texts, "\n")
		return strings.Contains(all, r.waits), all, nil
	})
}

// parse reads the sections of a page that have YAML in them: fenced blocks, each with the Result lines that follow it.
func parse(t *testing.T, path string) []section {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	line := regexp.MustCompile("^\\*\\*Result\\*\\*: `([^`]+)` (gets|waits:) `([^`]+)`$")
	var sections []section
	var block *strings.Builder
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		text := scanner.Text()
		last := len(sections) - 1
		switch {
		case strings.HasPrefix(text, "## "):
			sections = append(sections, section{title: strings.TrimPrefix(text, "## ")})
		case text == "```yaml":
			block = &strings.Builder{}
		case text == "```" && block != nil:
			sections[last].steps = append(sections[last].steps, step{yaml: block.String()})
			block = nil
		case block != nil:
			block.WriteString(text + "\n")
		case strings.HasPrefix(text, "**Result**"):
			found := line.FindStringSubmatch(text)
			if found == nil {
				t.Fatalf("cannot read %q", text)
			}
			want := result{service: found[1]}
			if found[2] == "gets" {
				want.gets = found[3]
			} else {
				want.waits = found[3]
			}
			steps := sections[last].steps
			steps[len(steps)-1].results = append(steps[len(steps)-1].results, want)
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	var withExamples []section
	for _, section := range sections {
		if len(section.steps) > 0 {
			withExamples = append(withExamples, section)
		}
	}
	return withExamples
}
