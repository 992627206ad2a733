// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// inNamespace marks the process that runs in a network namespace of its own.
const inNamespace = "FAIRLEAD_TEST_IN_NAMESPACE"

// TestMain runs the tests in a child process with network and mount
// namespaces of its own, so that every thread of it is inside and nothing of
// the machine's network can be touched.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 || os.Getenv(inNamespace) != "" {
		goleak.VerifyTestMain(m)
		return
	}
	child := exec.Command("/proc/self/exe", os.Args[1:]...)
	child.Env = append(os.Environ(), inNamespace+"=1")
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := child.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "tests in namespace:", err)
		os.Exit(1)
	}
}

func needNamespace(t *testing.T) {
	t.Helper()
	if os.Getenv(inNamespace) == "" {
		t.Skip("needs root to make a network namespace")
	}
}
