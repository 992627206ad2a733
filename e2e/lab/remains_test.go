// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// remains lists what there is of a lab on the machine.
func remains(t *testing.T, id int) []string {
	t.Helper()
	found, err := namespaceNames(netnsPrefix(id))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(labDir(id)); !errors.Is(err, os.ErrNotExist) {
		found = append(found, labDir(id))
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range processes {
		if line, err := os.ReadFile(path); err == nil && strings.Contains(string(line), labDir(id)+"/") {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

func hostLinks(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("ip", "-brief", "link").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestTwoLabsSideBySide(t *testing.T) {
	before := hostLinks(t)
	var a, b *Lab
	var together sync.WaitGroup
	together.Go(func() { a = ForTest(t, Config{Nodes: 1}) })
	b = ForTest(t, Config{Nodes: 1})
	together.Wait()
	if a == nil {
		t.FailNow()
	}
	if a.ID() == b.ID() || a.Addr4("n1") == b.Addr4("n1") {
		t.Fatalf("labs %d and %d share addresses: %s, %s", a.ID(), b.ID(), a.Addr4("n1"), b.Addr4("n1"))
	}
	if after := hostLinks(t); after != before {
		t.Errorf("links of the host network:\n%s\nwhile two labs run:\n%s", before, after)
	}
	ctx := t.Context()
	startWeb(ctx, t, a, "n1")
	webService(ctx, t, a, corev1.ServiceTypeClusterIP)
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	assertGone(t, a.ID())
	if nodes, err := b.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{}); err != nil || len(nodes.Items) != 1 {
		t.Errorf("lab %d after the end of the other: %v, %v", b.ID(), nodes, err)
	}
}

func TestFailedStartLeavesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the lab makes network namespaces, which needs root")
	}
	l, err := Start(t.Context(), Config{Nodes: 1, APIServerArgs: []string{"--no-such-flag"}, Progress: logWriter{t}})
	if err == nil {
		t.Fatal(errors.Join(errors.New("a lab with a broken API server started"), l.Stop()))
	}
	for _, part := range []string{"kube-apiserver", "no-such-flag"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error does not name %q: %v", part, err)
		}
	}
	var id int
	if _, scanErr := fmt.Sscanf(err.Error(), "start lab %d:", &id); scanErr != nil {
		t.Fatalf("error does not name the lab: %v", err)
	}
	assertGone(t, id)
}

// assertGone waits until nothing is left of a lab that has ended; processes may take a moment to die. Another run may have
// taken the number since: then what is there is not of this lab.
func assertGone(t *testing.T, id int) {
	t.Helper()
	ident, err := lockIdentity(id)
	if errors.Is(err, errLabRunning) {
		t.Logf("number %d is in use again", id)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	Await(t.Context(), t, fmt.Sprintf("the remains of lab %d to go", id), func(context.Context) (bool, string, error) {
		left := remains(t, id)
		return len(left) == 0, strings.Join(left, "; "), nil
	})
	if err := ident.release(); err != nil {
		t.Error(err)
	}
}

// startCommand runs `lab up` in a process of its own until it is ready.
func startCommand(t *testing.T) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the lab makes network namespaces, which needs root")
	}
	program := filepath.Join(t.TempDir(), "lab")
	if out, err := exec.Command("go", "build", "-o", program, "./cmd/lab").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(program, "up", "--nodes", "1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "lab: ready" {
			return cmd
		}
	}
	t.Fatalf("the lab did not come up: %v", cmd.Wait())
	return nil
}

// labOf returns the number of the lab that a process owns.
func labOf(t *testing.T, pid int) int {
	t.Helper()
	running, err := Running()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range running {
		if s.Owner == pid {
			return s.ID
		}
	}
	t.Fatalf("process %d owns none of the labs %v", pid, running)
	return 0
}

func TestSignalRemovesLab(t *testing.T) {
	cmd := startCommand(t)
	id := labOf(t, cmd.Process.Pid)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("the lab's owner ended with %v, want SIGTERM", err)
	}
	assertGone(t, id)
}

func TestSweepRemovesWhatAKilledOwnerLeft(t *testing.T) {
	cmd := startCommand(t)
	id := labOf(t, cmd.Process.Pid)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if _, err := Sweep(); err != nil {
		t.Fatal(err)
	}
	assertGone(t, id)
}
