// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// ForTest starts a lab that goes away with the test. Without root, or with -short, the test is skipped. When the test fails, the logs of
// all processes are kept, in $FAIRLEAD_LAB_LOGS or else a directory that the test's output names.
func ForTest(tb testing.TB, cfg Config) *Lab {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("the lab makes network namespaces, which needs root")
	}
	if testing.Short() {
		tb.Skip("the lab runs a whole Kubernetes, which is not short")
	}
	if cfg.Progress == nil {
		cfg.Progress = logWriter{tb}
	}
	l, err := Start(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() && l.cfg.LogDir == "" {
			l.cfg.LogDir = failureLogs(tb)
			tb.Logf("logs of the lab: %s", l.cfg.LogDir)
		}
		if err := l.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return l
}

func failureLogs(tb testing.TB) string {
	if base := os.Getenv("FAIRLEAD_LAB_LOGS"); base != "" {
		return filepath.Join(base, filepath.Base(tb.Name()))
	}
	dir, err := os.MkdirTemp("", "fairlead-lab-logs-") //nolint:usetesting // logs of a failure stay when the test is over
	if err != nil {
		tb.Log(err)
	}
	return dir
}

// logWriter passes progress on to the test's log.
type logWriter struct{ tb testing.TB }

var _ io.Writer = logWriter{}

func (w logWriter) Write(p []byte) (int, error) {
	w.tb.Helper()
	w.tb.Logf("%s", p)
	return len(p), nil
}

// Await is Eventually for tests: it ends the test when the condition does not come true.
func Await(ctx context.Context, tb testing.TB, what string, check func(context.Context) (done bool, detail string, err error)) {
	tb.Helper()
	if err := Eventually(ctx, what, check); err != nil {
		tb.Fatal(err)
	}
}
