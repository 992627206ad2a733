// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// Boot enters the machine's control groups and starts this program again as process 1 (see Init) in namespaces of the
// machine: mount, UTS, IPC, process and cgroup. The network namespace is the caller's. Boot returns when the machine is
// off. Whoever kills the caller switches the machine off.
func Boot(specPath string) error {
	runtime.LockOSThread() // the machine dies with the thread that starts it
	spec, err := readSpec(specPath)
	if err != nil {
		return err
	}
	for _, group := range spec.Cgroups {
		if err := enterCgroup(group); err != nil {
			return err
		}
	}
	self := exec.Command("/proc/self/exe", "init", specPath) //nolint:noctx // it lives until it is switched off
	self.Stdout, self.Stderr = os.Stdout, os.Stderr
	self.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWPID | syscall.CLONE_NEWCGROUP,
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := self.Start(); err != nil {
		return fmt.Errorf("start process 1 of machine %s: %w", spec.Name, err)
	}
	if err := leaveForLeaf(spec.Cgroups); err != nil {
		return errors.Join(err, self.Process.Kill(), self.Wait())
	}
	if err := os.WriteFile(filepath.Join(spec.Dir, pidName), []byte(strconv.Itoa(self.Process.Pid)), 0o644); err != nil {
		return errors.Join(fmt.Errorf("say where machine %s is: %w", spec.Name, err), self.Process.Kill(), self.Wait())
	}
	return self.Wait()
}

// enterCgroup moves the process into a group. A cpuset of v1 has no processors until it is given some.
func enterCgroup(group string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		parent, err := os.ReadFile(filepath.Join(filepath.Dir(group), name))
		if err != nil || isUnified(group) {
			continue
		}
		if err := os.WriteFile(filepath.Join(group, name), parent, 0o644); err != nil {
			return fmt.Errorf("fill control group %s: %w", group, err)
		}
		if err := os.WriteFile(filepath.Join(group, "cgroup.clone_children"), []byte("1"), 0o644); err != nil {
			return fmt.Errorf("fill control group %s: %w", group, err)
		}
	}
	return move(group)
}

// leafGroup is the group below a v2 machine's own that holds what does not run in pods: controllers are passed on only by
// a group that holds no process itself.
const leafGroup = "machine"

// leaveForLeaf takes the process out of a v2 group, once process 1 has it as the root of its namespace.
func leaveForLeaf(groups []string) error {
	if len(groups) != 1 || !isUnified(groups[0]) {
		return nil
	}
	leaf := filepath.Join(groups[0], leafGroup)
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make control group %s: %w", leaf, err)
	}
	return move(leaf)
}

// move puts the calling process into a group.
func move(group string) error {
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte("0"), 0o644); err != nil {
		return fmt.Errorf("enter control group %s: %w", group, err)
	}
	return nil
}

// isUnified tells a group of v2 from one of v1.
func isUnified(group string) bool {
	_, err := os.Stat(filepath.Join(group, "cgroup.controllers"))
	return err == nil
}

// passControllersOn lets the groups below the root of a v2 machine have all controllers that it has itself. It fails with
// EBUSY until Boot has left the root.
func passControllersOn(root string) error {
	have, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("list the controllers: %w", err)
	}
	controllers := strings.Fields(string(have))
	for _, needed := range []string{"cpu", "memory", "pids"} {
		if !strings.Contains(" "+string(have)+" ", needed) {
			return fmt.Errorf("the machine has the cgroup controllers %v and no %q: write it to cgroup.subtree_control of the root", controllers, needed)
		}
	}
	for i, name := range controllers {
		controllers[i] = "+" + name
	}
	return os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte(strings.Join(controllers, " ")), 0o644)
}
