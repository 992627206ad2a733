// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// netnsDir is where iproute2 looks for named namespaces; `ip netns exec` works on those of the lab.
const netnsDir = "/run/netns"

// createNamespace makes a named network namespace. The calling goroutine stays in its own.
func createNamespace(name string) (netns.NsHandle, error) {
	runtime.LockOSThread()
	own, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return netns.None(), fmt.Errorf("open the own network namespace: %w", err)
	}
	defer own.Close()
	ns, err := netns.NewNamed(name)
	if restoreErr := netns.Set(own); restoreErr != nil {
		// The thread stays locked, so that the runtime discards it and no other goroutine runs in a foreign namespace.
		return netns.None(), fmt.Errorf("return to the own network namespace: %w", restoreErr)
	}
	runtime.UnlockOSThread()
	if err != nil {
		return netns.None(), fmt.Errorf("make network namespace %q: %w", name, err)
	}
	return ns, nil
}

// inNamespace runs f on a thread that enter has taken to another network namespace. Sockets that f opens stay there. f
// must not leave opening them to other goroutines.
func inNamespace(enter, f func() error) error {
	runtime.LockOSThread()
	own, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open the own network namespace: %w", err)
	}
	defer own.Close()
	if err := enter(); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter the network namespace: %w", err)
	}
	err = f()
	if restoreErr := netns.Set(own); restoreErr != nil {
		return errors.Join(err, fmt.Errorf("return to the own network namespace: %w", restoreErr))
	}
	runtime.UnlockOSThread()
	return err
}

// namespaceNames lists the named namespaces that begin with prefix.
func namespaceNames(prefix string) ([]string, error) {
	entries, err := os.ReadDir(netnsDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// removeNamespace removes a named namespace; the kernel frees it once no process is in it.
func removeNamespace(name string) error {
	path := filepath.Join(netnsDir, name)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount network namespace %q: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove network namespace %q: %w", name, err)
	}
	return nil
}

// killInside kills every process whose network namespace is one of the named ones. Only processes of the lab can be in
// there.
func killInside(names []string) error {
	type file struct{ device, inode uint64 }
	inside := map[file]bool{}
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(netnsDir, name), &st); err == nil {
			inside[file{st.Dev, st.Ino}] = true
		}
	}
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(inside) == 0 {
		return err
	}
	for _, dir := range procs {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, "ns/net"), &st); err != nil || !inside[file{st.Dev, st.Ino}] {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill process %d, left in a network namespace of the lab: %w", pid, err)
		}
	}
	return nil
}
