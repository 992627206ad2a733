// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-io/fairlead/pkg/diagnosis"
)

// answer is what a command that only reads has found.
type answer struct {
	value any // as JSON and YAML show it
	table func(io.Writer)
	// problem: something in it is wrong.
	problem bool
}

// answering makes a command of a question about the cluster that the flags name: it shows the answer, and ends with
// errProblem where that is a bad one. The namespace is the one that the flags name, or the kubeconfig.
func (p *plugin) answering(ask func(cluster *diagnosis.Cluster, namespace string, args []string) (answer, error)) func(*cobra.Command, []string) error {
	return func(command *cobra.Command, args []string) error {
		c, err := p.connect()
		if err != nil {
			return err
		}
		cluster, err := c.read(command.Context())
		if err != nil {
			return err
		}
		found, err := ask(cluster, c.namespace, args)
		if err != nil {
			return err
		}
		if err := p.show(found); err != nil {
			return err
		}
		if found.problem {
			return errProblem
		}
		return nil
	}
}

// show writes an answer as JSON or YAML, or has its table written.
func (p *plugin) show(found answer) error {
	switch p.output {
	case "json":
		encoder := json.NewEncoder(p.Out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(found.value)
	case "yaml":
		text, err := yaml.Marshal(found.value)
		if err != nil {
			return fmt.Errorf("writing the answer as YAML: %w", err)
		}
		_, err = p.Out.Write(text)
		return err
	}
	writer := printers.GetNewTabWriter(p.Out)
	found.table(writer)
	return writer.Flush()
}

// row writes a row of a table.
func row(w io.Writer, cells ...string) {
	for i, cell := range cells {
		if cell == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// heading writes the title of a part of an answer and the header of its table.
func heading(w io.Writer, title string, columns ...string) {
	fmt.Fprintf(w, "\n%s\n", title)
	if len(columns) > 0 {
		row(w, columns...)
	}
}

func yesNo(value bool) string {
	if value {
		return "yes"
	}
	return "no"
}

// age says how long ago a time was.
func age(since *metav1.Time) string {
	if since.IsZero() {
		return ""
	}
	return duration.HumanDuration(time.Since(since.Time))
}
