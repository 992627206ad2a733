// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU times in /proc (USER_HZ, which Linux fixes for programs).
const clockTick = 10 * time.Millisecond

// process is what /proc tells of a process.
type process struct {
	program  string
	cpu      time.Duration // spent so far, in user and kernel mode
	resident int64         // bytes
}

// readProcess reads /proc/PID/stat, see proc_pid_stat(5).
func readProcess(pid string) (process, error) {
	text, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return process{}, err
	}
	line := string(text)
	end := strings.LastIndexByte(line, ')') // the name before it may hold anything
	fields := strings.Fields(line[end+1:])
	if end < 0 || len(fields) < 22 {
		return process{}, fmt.Errorf("/proc/%s/stat: %d fields after the name, want 22 or more", pid, len(fields))
	}
	var numbers [3]int64 // utime, stime, rss: fields 14, 15 and 24, of which the third is the first here
	for i, at := range []int{11, 12, 21} {
		if numbers[i], err = strconv.ParseInt(fields[at], 10, 64); err != nil {
			return process{}, fmt.Errorf("/proc/%s/stat: %w", pid, err)
		}
	}
	return process{
		program: strings.TrimPrefix(line[:end], pid+" ("), cpu: time.Duration(numbers[0]+numbers[1]) * clockTick,
		resident: numbers[2] * int64(os.Getpagesize()),
	}, nil
}

// labCPU returns the CPU time that the lab's processes have used, by program, and this process's under "bench".
func (c *cluster) labCPU() (map[string]time.Duration, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	used := map[string]time.Duration{}
	self := strconv.Itoa(os.Getpid())
	for _, entry := range entries {
		command, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err != nil || entry.Name() != self && !bytes.Contains(command, []byte(c.lab.Dir())) {
			continue // not a process, or one that has ended
		}
		p, err := readProcess(entry.Name())
		switch {
		case err != nil:
		case entry.Name() == self:
			used["bench"] += p.cpu
		default:
			program, _, _ := bytes.Cut(command, []byte{0})
			used[filepath.Base(string(program))] += p.cpu
		}
	}
	return used, nil
}
