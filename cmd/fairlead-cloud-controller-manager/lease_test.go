// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// TestShorterLease: a manager starts with the three flags that docs/flags.md has for a shorter Lease, and not with the first
// of them alone.
func TestShorterLease(t *testing.T) {
	text, err := os.ReadFile("../../docs/flags.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## A shorter Lease")
	block := regexp.MustCompile("(?s)```\n(--leader-elect-lease-duration=.*?)\n```").FindStringSubmatch(section)
	if block == nil {
		t.Fatal("docs/flags.md has no flags for a shorter Lease")
	}
	all := strings.Fields(block[1])
	if err := elector(t, all...); err != nil {
		t.Errorf("with %v: %v", all, err)
	}
	if err := elector(t, all[0]); err == nil {
		t.Errorf("with %s alone: no error", all[0])
	}
}

// elector checks the flags as the manager does at its start.
func elector(t *testing.T, flags ...string) error {
	t.Helper()
	command, err := newCommand(t.Context().Done())
	if err != nil {
		t.Fatal(err)
	}
	if err := command.ParseFlags(flags); err != nil {
		t.Fatal(err)
	}
	value := func(name string) time.Duration {
		d, err := command.Flags().GetDuration(name)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	_, err = leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		LeaseDuration: value("leader-elect-lease-duration"), RenewDeadline: value("leader-elect-renew-deadline"),
		RetryPeriod: value("leader-elect-retry-period"), Lock: &resourcelock.LeaseLock{LockConfig: resourcelock.ResourceLockConfig{Identity: "test"}},
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) {}, OnStoppedLeading: func() {}},
	})
	return err
}
