// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// pressure is what else the machine does.
type pressure bool

const (
	idle   pressure = false
	loaded pressure = true // one busy loop for each core, beside everything else
)

// press loads every core of the machine with a busy loop in a process of its own, until the returned function is called;
// or does nothing, for idle.
func (e *env) press(p pressure) (free func(), err error) {
	if p == idle {
		return func() {}, nil
	}
	e.say("loading %d cores", runtime.NumCPU())
	var loops []*lab.Process
	free = func() {
		for _, loop := range loops {
			loop.Kill()
		}
	}
	for i := range runtime.NumCPU() {
		loop, err := e.lab.StartProcess(lab.Far, lab.Command{
			Name: fmt.Sprintf("busy-%d-%d", os.Getpid(), i), Path: "/bin/sh", Args: []string{"-c", "while :; do :; done"},
		})
		if err != nil {
			free()
			return nil, err
		}
		loops = append(loops, loop)
	}
	return free, nil
}
