// SPDX-License-Identifier: Apache-2.0

// Package netnstest gives tests network namespaces of their own, so that they touch nothing of the machine's network. It
// owns how a thread or a whole process comes to be in one, and must not know what is made there. Nothing but tests may use
// it.
package netnstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// marker in the environment says that the process is in a namespace that Main has made for it.
const marker = "FAIRLEAD_TEST_IN_NAMESPACE"

// Main has the tests of a package run by run, in a child process that is in a new network namespace with all its threads
// and has a loopback interface of its own: for code that opens sockets on threads of its choice, or on ports that are given.
// Without root, run runs as it is, and Need skips. It is to be the last call of TestMain.
func Main(run func()) {
	if inside() {
		if err := raiseLoopback(); err != nil {
			fmt.Fprintln(os.Stderr, "no loopback interface for the tests:", err)
			os.Exit(1)
		}
	}
	if os.Geteuid() != 0 || inside() {
		run()
		return
	}
	child := exec.Command("/proc/self/exe", os.Args[1:]...) //nolint:noctx // it is all that this process does
	child.Env = append(os.Environ(), marker+"=1")
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := child.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		os.Exit(max(1, exit.ExitCode())) // it is -1 after a signal
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "no network namespace for the tests:", err)
		os.Exit(1)
	}
}

func raiseLoopback() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

func inside() bool { return os.Getenv(marker) != "" }

// Need skips a test that is not in a namespace of Main's.
func Need(tb testing.TB) {
	tb.Helper()
	if !inside() {
		tb.Skip("needs root to make a network namespace")
	}
}

// Namespace is a network namespace without a name, which goes away with its test.
type Namespace struct{ Handle netns.NsHandle }

// New makes a namespace with nothing in it but a loopback interface that is down. Without root, the test is skipped.
func New(tb testing.TB) Namespace {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("needs root to make a network namespace")
	}
	var n Namespace
	visit(tb, func() error {
		var err error
		n.Handle, err = netns.New() // and enters it
		return err
	}, func() {})
	tb.Cleanup(func() { n.Handle.Close() })
	return n
}

// Enter takes the goroutine of a test into a new namespace for good: the thread ends with it. Without root, the test is
// skipped.
func Enter(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("needs root to make a network namespace")
	}
	runtime.LockOSThread()
	handle, err := netns.New()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { handle.Close() })
}

// Do runs f on a thread inside the namespace: sockets that f opens stay there. f must not leave opening them to other
// goroutines.
func (n Namespace) Do(tb testing.TB, f func()) {
	tb.Helper()
	visit(tb, func() error { return netns.Set(n.Handle) }, f)
}

// visit runs f on a thread that enter has taken elsewhere, and takes the thread back, also where f ends the test. A thread
// that cannot be taken back stays locked and ends with its goroutine.
func visit(tb testing.TB, enter func() error, f func()) {
	tb.Helper()
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		tb.Fatal(err)
	}
	defer home.Close()
	if err := enter(); err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := netns.Set(home); err != nil {
			tb.Errorf("back to the own network namespace: %v", err)
			return
		}
		runtime.UnlockOSThread()
	}()
	f()
}
