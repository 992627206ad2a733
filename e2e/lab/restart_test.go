// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestProgramIsStartedAgain: a program that ends at once is started anew, and Stop does not wait for the pause after that.
func TestProgramIsStartedAgain(t *testing.T) {
	l := ForTest(t, Config{Nodes: 1, HostsOnly: true})
	command := Command{Name: "short", Path: "/bin/sh", Args: []string{"-c", "echo started"}}
	p, err := l.StartProcess(NodeName(1), command)
	if err != nil {
		t.Fatal(err)
	}
	l.goroutines.Go(func() { l.keepRunning(NodeName(1), command, p) })
	Await(t.Context(), t, "the second start", func(context.Context) (bool, string, error) {
		return strings.Count(p.Log(), "started") == 2, p.Log(), nil
	})
	stopped := make(chan error, 1)
	go func() { stopped <- l.Stop() }()
	select {
	case err := <-stopped:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(firstPause):
		t.Error("Stop waits for the next start")
	}
}

func TestRestartPauses(t *testing.T) {
	pause := time.Duration(0)
	for i, step := range []struct{ ran, want time.Duration }{
		{time.Second, 0},
		{time.Second, 10 * time.Second},
		{time.Second, 20 * time.Second},
		{9 * time.Minute, 40 * time.Second},
		{0, 80 * time.Second},
		{0, 160 * time.Second},
		{0, 5 * time.Minute},
		{0, 5 * time.Minute},
		{10 * time.Minute, 0},
		{0, 10 * time.Second},
	} {
		if pause = restartPause(pause, step.ran, i); pause != step.want {
			t.Errorf("restart %d: pause %s, want %s", i, pause, step.want)
		}
	}
}
