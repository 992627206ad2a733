// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/diagnosis"
)

func (p *plugin) whoCommand() *cobra.Command {
	return p.withOutput(&cobra.Command{
		Use:     "who SERVICE|ADDRESS",
		Aliases: []string{"why"},
		Short:   "Tell which node announces an address, and why that one",
		Long: "Tell which node announces an address, and why that one: the candidates in order, what keeps each other node\n" +
			"from it, the conditions, and the last events. A Service is given as NAME, with the namespace of -n, or NAMESPACE/NAME.",
		Example: "  kubectl fairlead who web\n  kubectl fairlead why 192.0.2.100 -o wide",
		Args:    cobra.ExactArgs(1),
		RunE: p.answering(func(cluster *diagnosis.Cluster, namespace string, args []string) (answer, error) {
			found, err := diagnosis.Who(cluster, args[0], namespace)
			return answer{value: found, table: func(w io.Writer) { p.showAnswer(w, found) }, problem: !found.OK()}, err
		}),
	})
}

func (p *plugin) showAnswer(w io.Writer, answer diagnosis.Answer) {
	if answer.Pending != nil {
		fmt.Fprintf(w, "Service %s has no address: %s\n", answer.Pending.Service, answer.Pending.Reason)
	}
	for i, address := range answer.Addresses {
		if i > 0 {
			fmt.Fprintln(w)
		}
		showAddress(w, address)
		p.showRest(w, address)
	}
}

func showAddress(w io.Writer, address diagnosis.Address) {
	fmt.Fprintf(w, "%s of pool %s, used by %s\n", address.Address, or(address.Pool, "none"), or(strings.Join(address.Services, ", "), "no Service"))
	summary := address.Summary + "."
	if since := age(address.Since); since != "" {
		summary += fmt.Sprintf(" %s has had it for %s.", address.Node, since)
	}
	fmt.Fprintln(w, summary)
	fmt.Fprintln(w)
	row(w, "NODE", "CANDIDATE", "ANNOUNCES", "WHY")
	for _, node := range address.Nodes {
		place := ""
		if node.Place > 0 {
			place = strconv.Itoa(node.Place)
		}
		row(w, node.Node, place, yesNo(node.Announces), node.Reason)
	}
}

// showRest shows conditions and events: those that say something is wrong, and all of them with -o wide.
func (p *plugin) showRest(w io.Writer, address diagnosis.Address) {
	wide := p.output == "wide" || !address.Announced
	if wide && len(address.Conditions) > 0 {
		heading(w, "Conditions", "TYPE", "STATUS", "REASON", "SINCE", "MESSAGE")
		for _, condition := range address.Conditions {
			row(w, condition.Type, string(condition.Status), condition.Reason, age(&condition.LastTransitionTime), condition.Message)
		}
	}
	if wide && len(address.Events) > 0 {
		heading(w, "Events", "LAST", "TYPE", "OBJECT", "REASON", "MESSAGE")
		for _, event := range address.Events {
			row(w, age(new(metav1.NewTime(event.Last))), event.Type, event.Object, event.Reason, event.Message)
		}
	}
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
