// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupMount is where the hierarchies of control groups are.
const cgroupMount = "/sys/fs/cgroup"

// mount is unix.Mount with the directory made and the names in the error.
func mount(source, target, kind string, flags uintptr, data string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("make mount point %s: %w", target, err)
	}
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s (%s) on %s: %w", source, kind, target, err)
	}
	return nil
}

// bindFile covers a file with another. What is not there need not be covered.
func bindFile(source, target string) error {
	if _, err := os.Stat(target); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cover %s with %s: %w", target, source, err)
	}
	return nil
}

// mountAll gives the machine its file systems. From its first step on nothing that is mounted reaches the host.
func (s Spec) mountAll() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("part with the host's mounts: %w", err)
	}
	for _, step := range []func() error{s.mountDisk, s.mountKernel, s.mountCgroups, s.writeEtc, s.coverHost} {
		if err := step(); err != nil {
			return err
		}
	}
	// The kubelet hands mounts of volumes on to containers.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share mounts with containers: %w", err)
	}
	return nil
}

// mountDisk lays the machine's own changes over the host's directories. Snapshots of images, which are overlays
// themselves, and all that grows are plain directories on the machine's disk.
func (s Spec) mountDisk() error {
	for _, dir := range []string{"/etc", "/var", "/opt", "/usr/libexec"} {
		layer := filepath.Join(s.Dir, "overlay", strings.ReplaceAll(dir, "/", "-"))
		for _, sub := range []string{"upper", "work"} {
			if err := os.MkdirAll(filepath.Join(layer, sub), 0o755); err != nil {
				return fmt.Errorf("make the machine's disk: %w", err)
			}
		}
		data := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", dir, layer, layer)
		if err := mount("overlay", dir, "overlay", 0, data); err != nil {
			return err
		}
	}
	for _, dir := range []string{"lib/kubelet", "lib/containerd", "lib/etcd", "lib/cni", "log/pods", "log/containers"} {
		source := filepath.Join(s.Dir, "disk", dir)
		if err := os.MkdirAll(source, 0o755); err != nil {
			return fmt.Errorf("make the machine's disk: %w", err)
		}
		if err := mount(source, filepath.Join("/var", dir), "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	return nil
}

// mountKernel mounts what shows the machine's own processes and links, and an empty /run.
func (s Spec) mountKernel() error {
	return errors.Join(
		mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""),
		mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""),
		mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"),
		os.MkdirAll("/run/lock", 0o777),
	)
}

// mountCgroups mounts the hierarchies anew: with the cgroup namespace, the machine's group is their root.
func (s Spec) mountCgroups() error {
	if len(s.Cgroups) == 1 && filepath.Dir(s.Cgroups[0]) == cgroupMount {
		return s.mountUnified()
	}
	if err := mount("tmpfs", cgroupMount, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	for _, group := range s.Cgroups {
		hierarchy, _, _ := strings.Cut(strings.TrimPrefix(group, cgroupMount+"/"), "/")
		options := hierarchy
		if hierarchy == "systemd" {
			options = "none,name=systemd"
		}
		if err := mount("cgroup", filepath.Join(cgroupMount, hierarchy), "cgroup", 0, options); err != nil {
			return err
		}
		for controller := range strings.SplitSeq(hierarchy, ",") {
			if controller == hierarchy {
				continue
			}
			if err := os.Symlink(hierarchy, filepath.Join(cgroupMount, controller)); err != nil {
				return fmt.Errorf("name cgroup controller %s: %w", controller, err)
			}
		}
	}
	return nil
}

// mountUnified is mountCgroups for v2.
func (s Spec) mountUnified() error {
	if err := mount("cgroup2", cgroupMount, "cgroup2", 0, ""); err != nil {
		return err
	}
	leaf := filepath.Join(cgroupMount, leafGroup)
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make control group %s: %w", leaf, err)
	}
	if err := move(leaf); err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := passControllersOn(cgroupMount)
		if err == nil || !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline) {
			return err
		}
	}
}

// writeEtc gives the machine a name and an identity, and the files of its specification.
func (s Spec) writeEtc() error {
	files := map[string]string{
		"/etc/hostname":    s.Name + "\n",
		"/etc/hosts":       s.Hosts,
		"/etc/machine-id":  strings.ReplaceAll(s.UUID, "-", "") + "\n",
		"/etc/resolv.conf": "# nothing outside the cluster is known by name\n",
	}
	maps.Copy(files, s.Files)
	for path, content := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) { // it may be a link out of /etc
			return fmt.Errorf("replace %s: %w", path, err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

// coverHost covers files that are the whole host's: the kernel settings that the kubelet changes, which no namespace
// holds, and the identity of the hardware.
func (s Spec) coverHost() error {
	covers := filepath.Join(s.Dir, "covers")
	if err := os.MkdirAll(covers, 0o755); err != nil {
		return fmt.Errorf("make the covers of the host's files: %w", err)
	}
	for target, content := range map[string]string{
		"/proc/sys/vm/overcommit_memory": "1\n",
		"/proc/sys/vm/panic_on_oom":      "0\n",
		"/proc/sys/kernel/panic":         "10\n",
		"/proc/sys/kernel/panic_on_oops": "1\n",
		"/sys/class/dmi/id/product_uuid": s.UUID + "\n",
	} {
		source := filepath.Join(covers, strings.ReplaceAll(target, "/", "-"))
		if err := os.WriteFile(source, []byte(content), 0o644); err != nil {
			return fmt.Errorf("cover %s: %w", target, err)
		}
		if err := bindFile(source, target); err != nil {
			return err
		}
	}
	for target, source := range s.Binds {
		if err := bindFile(source, target); err != nil {
			return err
		}
	}
	return nil
}
