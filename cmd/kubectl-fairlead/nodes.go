// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fairlead-io/fairlead/pkg/diagnosis"
)

func (p *plugin) nodesCommand() *cobra.Command {
	return p.withOutput(&cobra.Command{
		Use:   "nodes",
		Short: "Show what each node lacks, and what to do about it",
		Args:  cobra.NoArgs,
		RunE: p.answering(func(cluster *diagnosis.Cluster, _ string, _ []string) (answer, error) {
			nodes := diagnosis.NodesOf(cluster)
			return answer{
				value:   nodes,
				table:   func(w io.Writer) { p.showNodes(w, nodes) },
				problem: slices.ContainsFunc(nodes, func(node diagnosis.Node) bool { return len(node.Problems) > 0 }),
			}, nil
		}),
	})
}

func (p *plugin) showNodes(w io.Writer, nodes []diagnosis.Node) {
	wide := p.output == "wide"
	columns := []string{"NODE", "READY", "ANNOUNCER", "ANNOUNCES", "LACKS"}
	if wide {
		columns = append(columns, "PROVIDER ID", "ZONE")
	}
	row(w, columns...)
	for _, node := range nodes {
		announces, lacks := "yes", ""
		if node.Hindrance != "" {
			announces = "no: " + node.Hindrance
		}
		if len(node.Problems) > 0 {
			lacks = node.Problems[0].Text
		}
		cells := []string{node.Node, yesNo(node.Ready), node.Announcer, announces, lacks}
		if wide {
			cells = append(cells, node.ProviderID, node.Zone)
		}
		row(w, cells...)
		for _, problem := range node.Problems[min(1, len(node.Problems)):] {
			row(w, " ", " ", " ", " ", problem.Text)
		}
	}
	for _, node := range nodes {
		for _, problem := range node.Problems {
			fmt.Fprintf(w, "\n%s: %s\n  %s\n", node.Node, problem.Text, problem.Remedy)
		}
	}
}
