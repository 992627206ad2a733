// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// State is what another process needs to use a lab: to run commands in its hosts and to end it.
type State struct {
	ID         int               `json:"id"`
	Owner      int               `json:"owner"` // process number; SIGTERM to it removes the lab
	Dir        string            `json:"dir"`
	Kubeconfig string            `json:"kubeconfig"` // of the administrator; works inside the hosts
	Programs   []string          `json:"programs"`   // directories for PATH
	Hosts      map[string]string `json:"hosts"`      // host to network namespace
}

func statePath(id int) string { return filepath.Join(labDir(id), "lab.json") }

func (l *Lab) writeState() error {
	s := State{
		ID: l.id, Owner: os.Getpid(), Dir: l.dir, Kubeconfig: l.Kubeconfig(),
		Programs: []string{filepath.Join(l.dir, "bin"), l.kube}, Hosts: map[string]string{},
	}
	l.mu.Lock()
	for name, h := range l.hosts {
		s.Hosts[name] = h.nsName
	}
	l.mu.Unlock()
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write the lab's state: %w", err)
	}
	if err := os.WriteFile(statePath(l.id)+".new", append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the lab's state: %w", err)
	}
	return os.Rename(statePath(l.id)+".new", statePath(l.id))
}

// Running returns the states of all labs on the machine whose owners live and have brought them up.
func Running() ([]State, error) {
	ids, err := recordedLabs()
	if err != nil {
		return nil, err
	}
	var running []State
	for _, id := range ids {
		ident, err := lockIdentity(id)
		if err == nil {
			err = ident.release()
			if err != nil {
				return nil, err
			}
			continue
		}
		if !errors.Is(err, errLabRunning) {
			return nil, err
		}
		data, err := os.ReadFile(statePath(id))
		if errors.Is(err, os.ErrNotExist) {
			continue // still starting
		}
		if err != nil {
			return nil, fmt.Errorf("read the state of lab %d: %w", id, err)
		}
		var s State
		if err := json.Unmarshal(data, &s); err != nil {
			return nil, fmt.Errorf("read the state of lab %s: %w", strconv.Itoa(id), err)
		}
		running = append(running, s)
	}
	return running, nil
}
