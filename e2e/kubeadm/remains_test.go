// SPDX-License-Identifier: Apache-2.0

package kubeadm_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// hostState is what a cluster could change of the machine it runs on: links, packet filter, kernel settings, and the
// directories that nodes write to.
func hostState(t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{}
	for _, command := range [][]string{{"ip", "-brief", "link"}, {"ip", "-brief", "address"}, {"nft", "list", "tables"}} {
		// The test's context has ended when its cleanup runs.
		out, err := exec.CommandContext(context.WithoutCancel(t.Context()), command[0], command[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", command, err, out)
		}
		state[strings.Join(command, " ")] = string(out)
	}
	for _, setting := range []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward"} {
		data, err := os.ReadFile(filepath.Join("/proc/sys", setting))
		if err != nil {
			t.Fatal(err)
		}
		state[setting] = string(data)
	}
	for _, dir := range []string{"/etc/kubernetes", "/etc/cni", "/var/lib/kubelet", "/var/lib/etcd", "/var/lib/containerd", "/run/containerd", "/opt/cni"} {
		_, err := os.Stat(dir)
		state[dir] = fmt.Sprint("absent: ", errors.Is(err, os.ErrNotExist))
	}
	return state
}

// checkGone looks for what carries the number of a cluster that has ended. Stop has told of a directory that it could not
// remove: one that is there now is another lab's, which has taken the number.
func (s *scenario) checkGone(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Logf("lab number %d is in use again", s.ID())
		return
	}
	prefix := fmt.Sprintf("fl%d-", s.ID())
	for _, root := range []string{"/sys/fs/cgroup", "/run/netns"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasPrefix(filepath.Base(path), prefix) {
				t.Errorf("%s is still there", path)
			}
			return nil // groups of others come and go
		})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
}
