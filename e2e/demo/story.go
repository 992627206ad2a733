// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned"
)

type options struct {
	keep  bool
	nodes int
	logs  string
}

// result is the last line of the demo.
type result struct {
	Address         string `json:"address"`
	AllocateMS      int64  `json:"allocate_ms"`       // from creating the Service to its address
	FirstResponseMS int64  `json:"first_response_ms"` // from creating the Service to the first answer of a pod
	FailoverMS      int64  `json:"failover_ms"`       // longest time without an answer when the announcing node went away
}

// story is the demo under way.
type story struct {
	*stage
	lab      *lab.Lab
	fairlead versioned.Interface
	result   result
}

// show runs the demo in a lab of its own. The lab catches SIGINT and SIGTERM and removes itself.
func show(ctx context.Context, o options) error {
	if o.nodes < 3 {
		return fmt.Errorf("-nodes %d: a majority that survives a node takes 3", o.nodes)
	}
	progress("bringing up %d machines with a Kubernetes control plane (the first time builds Kubernetes: some five minutes)", o.nodes)
	l, err := lab.Start(ctx, lab.Config{Nodes: o.nodes, LogDir: o.logs, Progress: os.Stderr})
	if err != nil {
		return err
	}
	s := &story{stage: &stage{out: os.Stdout, lab: l}, lab: l}
	if err := s.tell(ctx); err != nil {
		if stopErr := l.Stop(); stopErr != nil {
			fmt.Fprintln(os.Stderr, "demo: removing the lab:", stopErr)
		}
		return err
	}
	line, err := json.Marshal(s.result)
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	if !o.keep {
		progress("removing the lab")
		err = l.Stop()
		fmt.Printf("\n%s\n", line)
		return err
	}
	s.farewell()
	fmt.Printf("\n%s\n", line)
	select {} // until a signal, which the lab answers
}

// tell is the whole story.
func (s *story) tell(ctx context.Context) error {
	client, err := versioned.NewForConfig(s.lab.RESTConfig())
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	s.fairlead = client
	for _, chapter := range []func(context.Context) error{s.install, s.prepare, s.expose, s.reach, s.lose} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

// farewell says how to look around in a lab that stays.
func (s *story) farewell() {
	s.title("The lab stays until Ctrl-C")
	s.say("In another terminal, from the root of the source tree:\n"+
		"  alias lab='go run ./e2e/lab/cmd/lab'\n"+
		"  lab exec --lab %[1]d cp kubectl get vips -o wide     # any command, in any host: cp, n1 ... n%[3]d, client, router, far\n"+
		"  lab exec --lab %[1]d client curl http://%[2]s/\n"+
		"  lab exec --lab %[1]d n1 ip link set eth0 down        # a cable that is cut; `up` plugs it in again\n"+
		"  lab down --lab %[1]d\n"+
		"kubeconfig, good inside the hosts: %[4]s", s.lab.ID(), s.result.Address, len(s.lab.Nodes()), s.lab.Kubeconfig())
}

// since returns how many milliseconds ago a moment was.
func since(moment time.Time) int64 { return time.Since(moment).Milliseconds() }
