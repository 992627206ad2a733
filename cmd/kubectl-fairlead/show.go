// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/yaml"
)

// show writes an answer as JSON or YAML, or has a table written.
func (p *plugin) show(answer any, table func(io.Writer)) error {
	switch p.output {
	case "json":
		encoder := json.NewEncoder(p.Out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(answer)
	case "yaml":
		text, err := yaml.Marshal(answer)
		if err != nil {
			return fmt.Errorf("writing the answer as YAML: %w", err)
		}
		_, err = p.Out.Write(text)
		return err
	}
	writer := printers.GetNewTabWriter(p.Out)
	table(writer)
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
