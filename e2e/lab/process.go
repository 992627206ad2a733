// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// Command is a program to run in a host.
type Command struct {
	Name string   // of the process in errors and of its log file; unique among what runs at a time
	Path string   // of the program
	Args []string // without the program's name
	Env  []string // added to the environment of the lab's owner
}

// Process is a program that runs in a host, in a session of its own. It dies with the lab's owner, whatever ends that.
type Process struct {
	Name    string
	Host    string
	LogPath string // standard output and error

	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid once done is closed
}

// spawner starts every process from one thread that lives as long as the lab: the kernel's parent-death signal fires
// when the starting thread ends, not when the process does.
type spawner struct {
	work chan func()
	idle chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{work: make(chan func()), idle: make(chan struct{})}
	go func() {
		defer close(s.idle)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for f := range s.work {
			f()
		}
	}()
	return s
}

func (s *spawner) start(h *host, cmd *exec.Cmd) error {
	result := make(chan error, 1)
	s.work <- func() { result <- h.do(cmd.Start) }
	return <-result
}

// close ends the thread. Processes that are still running are killed by that.
func (s *spawner) close() {
	close(s.work)
	<-s.idle
}

// StartProcess runs a program in a host until it ends, it is killed or the lab stops.
func (l *Lab) StartProcess(host string, c Command) (*Process, error) {
	h, err := l.host(host)
	if err != nil {
		return nil, err
	}
	p := &Process{Name: c.Name, Host: host, LogPath: filepath.Join(l.dir, "logs", c.Name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.LogPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log of %q: %w", c.Name, err)
	}
	defer log.Close()
	p.cmd = l.command(c)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := l.spawn(h, p); err != nil {
		return nil, fmt.Errorf("start %q in host %q: %w", c.Name, host, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// spawn starts p and records it, unless the lab is being stopped.
func (l *Lab) spawn(h *host, p *Process) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return errStopped
	}
	if err := l.spawner.start(h, p.cmd); err != nil {
		return err
	}
	l.processes = slices.DeleteFunc(l.processes, (*Process).Exited)
	l.processes = append(l.processes, p)
	return nil
}

func (l *Lab) command(c Command) *exec.Cmd {
	cmd := exec.Command(c.Path, c.Args...) //nolint:noctx // it lives longer than the call that starts it, and is ended by name
	cmd.Dir = l.dir
	cmd.Env = append(os.Environ(), c.Env...)
	// A session of its own: the kernel shares the processors among sessions (sched(7), autogroups), as on a node among the
	// control groups of services and containers. In one session with busy loops, what kube-proxy starts to write its rules
	// was seen to wait for seconds.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Exec runs a program in a host to its end and returns its standard output. The error holds what it wrote to standard
// error.
func (l *Lab) Exec(ctx context.Context, host string, argv ...string) (string, error) {
	return l.execInput(ctx, host, nil, argv...)
}

func (l *Lab) execInput(ctx context.Context, host string, stdin []byte, argv ...string) (string, error) {
	h, err := l.host(host)
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	cmd := l.command(Command{Path: argv[0], Args: argv[1:]})
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	p := &Process{Name: filepath.Base(argv[0]), Host: host, cmd: cmd, done: make(chan struct{})}
	if err := l.spawn(h, p); err != nil {
		return "", fmt.Errorf("start %q in host %q: %w", strings.Join(argv, " "), host, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	select {
	case <-p.done:
	case <-ctx.Done():
		p.Kill()
		<-p.done
		return stdout.String(), fmt.Errorf("run %q in host %q: %w", strings.Join(argv, " "), host, context.Cause(ctx))
	}
	if p.err != nil {
		return stdout.String(), fmt.Errorf("run %q in host %q: %w: %s", strings.Join(argv, " "), host, p.err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}

// Pid returns the number of the process, which is also that of its group.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exited says whether the process has ended.
func (p *Process) Exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Signal sends a signal to the process and all it has started. One that has ended gets none.
func (p *Process) Signal(sig syscall.Signal) {
	if !p.Exited() {
		_ = syscall.Kill(-p.Pid(), sig)
	}
}

// Kill is kill -9, and waits for the end: a crash of the program.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Terminate sends SIGTERM and waits for the end. It returns the program's exit error, if any; when ctx ends first, the
// program still runs.
func (p *Process) Terminate(ctx context.Context) error {
	p.Signal(syscall.SIGTERM)
	return p.Wait(ctx)
}

// Pause stops the process where it is (SIGSTOP): its sockets stay open and nobody reads them.
func (p *Process) Pause() { p.Signal(syscall.SIGSTOP) }

// Resume continues what Pause stopped.
func (p *Process) Resume() { p.Signal(syscall.SIGCONT) }

// Wait waits for the end of the process and returns its exit error, if any.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("wait for %q to end: %w", p.Name, context.Cause(ctx))
	}
}

// Log returns what the process and its predecessors of the same name have written.
func (p *Process) Log() string {
	data, err := os.ReadFile(p.LogPath)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// tail returns the last lines of the log, for errors.
func (p *Process) tail() string {
	lines := strings.Split(strings.TrimSpace(p.Log()), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}
