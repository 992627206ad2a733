// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// cgroupList is the file in a lab's directory that names the control groups made for it, one a line.
const cgroupList = "cgroups"

// cgroupRoot is where the hierarchies of control groups are mounted: a single one (v2), or one in each directory (v1).
const cgroupRoot = "/sys/fs/cgroup"

// emptyTimeout bounds how long the processes of a control group may take to die.
const emptyTimeout = 20 * time.Second

// NewCgroup makes a control group for a host, in every hierarchy, and returns its directories. It goes away with the lab.
// The group is empty: StartProcess does not move anything into it.
func (l *Lab) NewCgroup(host string) ([]string, error) {
	if _, err := l.host(host); err != nil {
		return nil, err
	}
	parents, err := parentCgroups()
	if err != nil {
		return nil, err
	}
	list, err := os.OpenFile(filepath.Join(l.dir, cgroupList), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("record control groups: %w", err)
	}
	defer list.Close()
	var made []string
	for _, dir := range parents {
		dir = filepath.Join(dir, netnsPrefix(l.id)+host)
		if _, err := fmt.Fprintln(list, dir); err != nil {
			return nil, fmt.Errorf("record control groups: %w", err)
		}
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("make the control group of host %q: %w", host, err)
		}
		made = append(made, dir)
	}
	return made, nil
}

// parentCgroups returns the directories that new groups belong in. With v1 they are the caller's own groups, in all
// hierarchies that are mounted. With v2 it is the root: a group in which processes are passes no controllers on.
func parentCgroups() ([]string, error) {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("find the own control group: %w", err)
	}
	var v1 []string
	for line := range strings.Lines(string(data)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 || fields[1] == "" {
			continue
		}
		dir := filepath.Join(cgroupRoot, strings.TrimPrefix(fields[1], "name="), fields[2])
		if _, err := os.Stat(dir); err == nil {
			v1 = append(v1, dir)
		}
	}
	if len(v1) > 0 {
		return v1, nil
	}
	return []string{cgroupRoot}, nil
}

// removeCgroups removes the control groups of a lab, once the processes in them have died. The caller has killed them.
func removeCgroups(dir string) error {
	list, err := os.Open(filepath.Join(dir, cgroupList))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the list of control groups: %w", err)
	}
	defer list.Close()
	deadline := time.Now().Add(emptyTimeout)
	for lines := bufio.NewScanner(list); lines.Scan(); {
		for {
			err := removeCgroup(lines.Text())
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("remove a control group: %w", err)
			}
			time.Sleep(pollInterval)
		}
	}
	return nil
}

// removeCgroup removes a group and those below it. Only directories can be removed there, from the bottom up.
func removeCgroup(group string) error {
	var dirs []string
	err := filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil // what is gone already is no fault
	})
	if err != nil {
		return err
	}
	slices.Reverse(dirs)
	for _, dir := range dirs {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
