// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/diagnosis"
)

// ask runs kubectl-fairlead as the administrator and returns what it prints, and its exit code.
func (s *space) ask(ctx context.Context, args ...string) (string, int) {
	s.t.Helper()
	argv := append([]string{s.Program("kubectl-fairlead"), "--kubeconfig", s.Kubeconfig(), "-n", s.namespace}, args...)
	output, err := s.Exec(ctx, lab.ControlPlane, argv...)
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return output + err.Error(), exit.ExitCode()
	}
	if err != nil {
		return err.Error(), -1
	}
	return output, 0
}

// who asks who has the addresses of a Service.
func (s *space) who(ctx context.Context, subject string) (answer diagnosis.Answer, code int) {
	s.t.Helper()
	output, code := s.ask(ctx, "who", subject, "-o", "json")
	if start := strings.Index(output, "{"); start < 0 || json.NewDecoder(strings.NewReader(output[start:])).Decode(&answer) != nil {
		return diagnosis.Answer{}, code
	}
	return answer, code
}

func TestPlugin(t *testing.T) {
	c := ownCloud(t, lab.Config{Nodes: 3})
	ctx := t.Context()
	if err := c.Build(ctx, "./cmd/kubectl-fairlead"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.StartCCM(ctx, "ccm", lab.CCMOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.StartAnnouncers(ctx); err != nil {
		t.Fatal(err)
	}
	s := newSpace(t, c)
	addr := c.Pool4().First
	s.pool("p", []string{span(addr, addr.Next())})
	s.service("web")

	var owner string
	lab.Await(ctx, t, "the plugin to name the node that announces", func(ctx context.Context) (bool, string, error) {
		answer, code := s.who(ctx, "web")
		if code != 0 || len(answer.Addresses) != 1 {
			return false, answerText(answer), nil
		}
		owner = answer.Addresses[0].Node
		return owner != "" && answer.Addresses[0].Address == addr.String(), answerText(answer), nil
	})
	lab.Await(ctx, t, "a status without a problem", func(ctx context.Context) (bool, string, error) {
		output, code := s.ask(ctx, "status")
		return code == 0 && hasAll(output, []string{s.poolName("p"), "n1", "n2", "Addresses in use: 1, announced by nobody: 0."}), output, nil
	})
	if output, code := s.ask(ctx, "nodes", "-o", "wide"); code != 0 || !hasAll(output, []string{"n1", "n2", "fairlead://"}) {
		t.Errorf("exit code %d:\n%s", code, output)
	}

	// Draining moves the address, and the plugin knows why.
	if output, code := s.ask(ctx, "drain", owner); code != 0 || !strings.Contains(output, "announces no address") {
		t.Errorf("exit code %d:\n%s", code, output)
	}
	lab.Await(ctx, t, "the plugin to name the other node", func(ctx context.Context) (bool, string, error) {
		output, code := s.ask(ctx, "why", addr.String())
		return code == 0 && hasAll(output, []string{"announces the address on layer 2", "the node is drained"}), output, nil
	})
	if output, code := s.ask(ctx, "undrain", owner); code != 0 {
		t.Errorf("exit code %d:\n%s", code, output)
	}

	// What is wrong makes exit code 2, and what cannot be answered 1.
	s.service("second")
	s.awaitAddresses("second", addr.Next())
	s.service("third")
	s.awaitWarning("third", "full, 2 of 2")
	// Events and what the API server's cache shows of them may come a moment later.
	for _, question := range [][2]string{{"who third", "full, 2 of 2"}, {"status", "third waits"}} {
		lab.Await(ctx, t, "an answer that says "+question[1], func(ctx context.Context) (bool, string, error) {
			output, code := s.ask(ctx, strings.Fields(question[0])...)
			return code == 2 && strings.Contains(output, question[1]), fmt.Sprintf("exit code %d: %s", code, output), nil
		})
	}
	if output, code := s.ask(ctx, "who", "nothing"); code != 1 || !strings.Contains(output, "no Service") {
		t.Errorf("exit code %d:\n%s", code, output)
	}
	if output, code := s.ask(ctx, "status", "-o", "xml"); code != 1 || !strings.Contains(output, "expected wide, json or yaml") {
		t.Errorf("exit code %d:\n%s", code, output)
	}
	s.loseMajority(addr.String())
}

// loseMajority has two of three nodes die, the owner of an address last: nobody takes it, and what the dead have reported
// stays. The plugin tells.
func (s *space) loseMajority(address string) {
	s.t.Helper()
	ctx := s.t.Context()
	answer, _ := s.who(ctx, address)
	if len(answer.Addresses) != 1 || answer.Addresses[0].Node == "" || len(answer.Addresses[0].Nodes) != 3 {
		s.t.Fatalf("answer %s, want one of three nodes, of which one announces", answerText(answer))
	}
	owner := answer.Addresses[0].Node
	other := slices.IndexFunc(answer.Addresses[0].Nodes, func(node diagnosis.NodeOfAddress) bool { return node.Node != owner })
	for _, node := range []string{answer.Addresses[0].Nodes[other].Node, owner} {
		if err := s.PowerOffNode(ctx, node); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, question := range []string{"who " + address, "status"} {
		lab.Await(ctx, s.t, "the plugin to answer "+question+" with the dead owner", func(ctx context.Context) (bool, string, error) {
			output, code := s.ask(ctx, strings.Fields(question)...)
			want := "nobody announces the address: " + owner + " was the last to announce the address, but "
			return code == 2 && strings.Contains(output, want), fmt.Sprintf("exit code %d: %s", code, output), nil
		})
	}
	if node, err := s.Kubectl(ctx, "get", "virtualip", address, "-o", "jsonpath={.status.node}"); err != nil || strings.TrimSpace(node) != owner {
		s.t.Errorf("status.node %q, %v, want %s: nobody else may have written it", node, err, owner)
	}
}

func answerText(answer diagnosis.Answer) string {
	text, _ := json.Marshal(answer)
	return string(text)
}
