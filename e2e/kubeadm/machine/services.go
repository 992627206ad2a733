// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	restartDelay = 500 * time.Millisecond // as systemd's RestartSec, but shorter
	stopLimit    = 20 * time.Second       // between SIGTERM and SIGKILL
)

// services are what runs for the machine itself. As process 1 inherits every orphan, one loop waits for all children, and
// nothing here may wait for a process by itself.
type services struct {
	logDir, machine string
	units           map[string]*unit

	mu    sync.Mutex
	dying map[int]chan struct{} // closed when the process has been buried
}

// unit is one service.
type unit struct {
	name    string
	command func() []string

	mu     sync.Mutex
	wanted bool
	pid    int           // 0 while it does not run
	ended  chan struct{} // closed when the process pid has ended
}

func newServices(spec Spec) *services {
	return &services{
		logDir: spec.LogDir, machine: spec.Name, dying: map[int]chan struct{}{},
		units: map[string]*unit{
			"containerd": {name: "containerd", command: func() []string { return []string{"containerd"} }},
			"kubelet":    {name: "kubelet", command: kubeletCommand},
		},
	}
}

// reap buries children for ever.
func (s *services) reap() {
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	for range died {
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if pid <= 0 || err != nil {
				break
			}
			s.mu.Lock()
			if ended, ok := s.dying[pid]; ok {
				close(ended)
				delete(s.dying, pid)
			}
			s.mu.Unlock()
		}
	}
}

// spawn starts a program in a process group of its own. The returned channel is closed when it has ended.
func (s *services) spawn(name string, argv []string) (int, chan struct{}, error) {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return 0, nil, err
	}
	log, err := os.OpenFile(filepath.Join(s.logDir, s.machine+"-"+name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	defer log.Close()
	s.mu.Lock() // or reap could bury it before it is known
	defer s.mu.Unlock()
	process, err := os.StartProcess(path, argv, &os.ProcAttr{
		Dir: "/", Files: []*os.File{nil, log, log}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, nil, err
	}
	pid, ended := process.Pid, make(chan struct{}) // Release forgets the number
	s.dying[pid] = ended
	return pid, ended, process.Release()
}

// start starts a unit that does not run, and keeps it running.
func (s *services) start(name string) error {
	u := s.units[name]
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.pid != 0 {
		return nil
	}
	u.wanted = true
	return s.launch(u)
}

// launch starts the process of a unit, whose lock the caller holds.
func (s *services) launch(u *unit) error {
	pid, ended, err := s.spawn(u.name, u.command())
	if err != nil {
		return fmt.Errorf("start %s: %w", u.name, err)
	}
	u.pid, u.ended = pid, ended
	go s.watch(u, ended)
	return nil
}

// watch starts a unit again that has ended and should not have.
func (s *services) watch(u *unit, ended chan struct{}) {
	<-ended
	u.mu.Lock()
	u.pid = 0
	u.mu.Unlock()
	time.Sleep(restartDelay)
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.wanted || u.pid != 0 {
		return
	}
	if err := s.launch(u); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// stop ends a unit and returns when it has ended.
func (s *services) stop(name string) error {
	u := s.units[name]
	u.mu.Lock()
	u.wanted = false
	pid, ended := u.pid, u.ended
	u.mu.Unlock()
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	select {
	case <-ended:
	case <-time.After(stopLimit):
		_ = syscall.Kill(pid, syscall.SIGKILL)
		<-ended
	}
	u.mu.Lock()
	u.pid = 0
	u.mu.Unlock()
	return nil
}

func (s *services) active(name string) bool {
	u := s.units[name]
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.pid != 0
}
