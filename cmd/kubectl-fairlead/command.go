// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/component-base/version"

	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned"
)

// plugin is what all commands share.
type plugin struct {
	genericiooptions.IOStreams
	config *genericclioptions.ConfigFlags
	output string
	// home is the namespace that Fairlead is installed in.
	home string
}

// clients reach the cluster that the flags name.
type clients struct {
	kube      kubernetes.Interface
	fairlead  versioned.Interface
	namespace string
	home      string
	warnings  io.Writer
}

func newCommand(streams genericiooptions.IOStreams) *cobra.Command {
	p := &plugin{IOStreams: streams, config: genericclioptions.NewConfigFlags(true)}
	root := &cobra.Command{
		Use:     "kubectl-fairlead",
		Short:   "Tell which node has an address and why, and what is wrong",
		Version: version.Get().GitVersion,
		Long: "Tell which node has an address and why, and what is wrong.\n\n" +
			"Exit codes: 0 all is well, 1 the question could not be answered, 2 the answer is that something is wrong.",
		Annotations:  map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl fairlead"},
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	p.config.AddFlags(root.PersistentFlags())
	root.PersistentFlags().StringVar(&p.home, "fairlead-namespace", "fairlead-system", "the namespace that Fairlead is installed in")
	root.AddCommand(p.statusCommand(), p.whoCommand(), p.nodesCommand(), p.drainCommand(), p.undrainCommand())
	return root
}

// withOutput adds the flag that chooses the form of an answer.
func (p *plugin) withOutput(command *cobra.Command) *cobra.Command {
	command.Flags().StringVarP(&p.output, "output", "o", "", "form of the answer: wide, json or yaml; a table without it")
	run := command.RunE
	command.RunE = func(command *cobra.Command, args []string) error {
		switch p.output {
		case "", "wide", "json", "yaml":
			return run(command, args)
		}
		return fmt.Errorf("--output %q: expected wide, json or yaml", p.output)
	}
	return command
}

// connect makes clients for the cluster that the flags name.
func (p *plugin) connect() (clients, error) {
	config, err := p.config.ToRESTConfig()
	if err != nil {
		return clients{}, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	namespace, _, err := p.config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return clients{}, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return clients{}, fmt.Errorf("client of %s: %w", config.Host, err)
	}
	fairlead, err := versioned.NewForConfig(config)
	if err != nil {
		return clients{}, fmt.Errorf("client of %s: %w", config.Host, err)
	}
	return clients{kube: kube, fairlead: fairlead, namespace: namespace, home: p.home, warnings: p.ErrOut}, nil
}
