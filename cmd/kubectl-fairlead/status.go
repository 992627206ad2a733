// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fairlead-io/fairlead/pkg/diagnosis"
)

func (p *plugin) statusCommand() *cobra.Command {
	return p.withOutput(&cobra.Command{
		Use:   "status",
		Short: "Show pools, announcers, BGP sessions, and what is wrong",
		Args:  cobra.NoArgs,
		RunE: p.answering(func(cluster *diagnosis.Cluster, _ string, _ []string) (answer, error) {
			overview := diagnosis.Survey(cluster)
			return answer{
				value:   overview,
				table:   func(w io.Writer) { showOverview(w, overview) },
				problem: len(overview.Problems) > 0,
			}, nil
		}),
	})
}

func showOverview(w io.Writer, overview diagnosis.Overview) {
	row(w, "POOL", "TOTAL", "ASSIGNED", "FREE", "READY", "MESSAGE")
	for _, pool := range overview.Pools {
		row(w, pool.Name, pool.Total, pool.Assigned, pool.Free, yesNo(pool.Ready), pool.Message)
	}
	heading(w, "Announcers", "NODE", "READY", "OWNS", "SEES", "VERSION", "ANNOUNCES")
	for _, announcer := range overview.Announcers {
		announces := "yes"
		if announcer.Hindrance != "" {
			announces = "no: " + announcer.Hindrance
		}
		row(w, announcer.Node, yesNo(announcer.Ready), strconv.Itoa(int(announcer.Owned)), strconv.Itoa(int(announcer.Members)),
			announcer.Version, announces)
	}
	if len(overview.Sessions) > 0 {
		heading(w, "BGP sessions", "NODE", "PEER", "STATE", "SINCE", "BFD", "PREFIXES", "LAST ERROR")
		for _, session := range overview.Sessions {
			row(w, session.Node, session.Peer, session.State, age(session.Since), session.BFD, strconv.Itoa(int(session.Prefixes)), session.Error)
		}
	}
	fmt.Fprintf(w, "\nAddresses in use: %d, announced by nobody: %d. Services that wait: %d.\n",
		overview.Addresses, len(overview.Unowned), len(overview.Pending))
	if len(overview.Problems) > 0 {
		heading(w, "Problems")
		for _, problem := range overview.Problems {
			fmt.Fprintln(w, "- "+problem)
		}
	}
}
