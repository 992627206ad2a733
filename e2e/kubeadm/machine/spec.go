// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Spec is what a machine is told before it boots.
type Spec struct {
	Name    string
	UUID    string   // of its hardware
	Dir     string   // its disk and, at its top, the files that the outside reads
	LogDir  string   // receives the logs of its services, which begin with the machine's name
	Cgroups []string // its control groups, empty ones: see lab.NewCgroup
	Path    string   // of all its processes
	Hosts   string   // its /etc/hosts
	// Files are written below /etc before anything starts, keyed by their absolute path.
	Files map[string]string
	// Binds cover files of the root file system with others, keyed by what is covered.
	Binds map[string]string
}

const (
	specName   = "spec.json"
	pidName    = "pid"
	bootedName = "booted"
)

// Pid returns the number of the machine's process 1, as the outside counts. It is that of the last boot.
func (s Spec) Pid() (int, error) {
	data, err := os.ReadFile(filepath.Join(s.Dir, pidName))
	if err != nil {
		return 0, fmt.Errorf("find process 1 of machine %s: %w", s.Name, err)
	}
	pid, err := strconv.Atoi(string(data))
	if err != nil {
		return 0, fmt.Errorf("find process 1 of machine %s: %w", s.Name, err)
	}
	return pid, nil
}

// Booted tells whether the machine is up, or was when it was last on.
func (s Spec) Booted() bool {
	_, err := os.Stat(filepath.Join(s.Dir, bootedName))
	return err == nil
}

// Write stores the specification in the machine's directory, for a new boot, and returns the path of the file.
func (s Spec) Write() (string, error) {
	for _, name := range []string{pidName, bootedName} {
		if err := os.Remove(filepath.Join(s.Dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("write the specification of machine %s: %w", s.Name, err)
		}
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return "", fmt.Errorf("write the specification of machine %s: %w", s.Name, err)
	}
	path := filepath.Join(s.Dir, specName)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return "", fmt.Errorf("write the specification of machine %s: %w", s.Name, err)
	}
	return path, nil
}

// ReadSpec reads the specification of the machine with the given directory.
func ReadSpec(dir string) (Spec, error) { return readSpec(filepath.Join(dir, specName)) }

func readSpec(path string) (Spec, error) {
	var spec Spec
	data, err := os.ReadFile(path)
	if err != nil {
		return spec, fmt.Errorf("read the machine's specification: %w", err)
	}
	if err := json.Unmarshal(data, &spec); err != nil {
		return spec, fmt.Errorf("read the machine's specification %s: %w", path, err)
	}
	return spec, nil
}
