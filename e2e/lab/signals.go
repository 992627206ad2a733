// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"os"
	"os/signal"
	"syscall"
)

const killSignal = syscall.SIGKILL

// stopOnSignal removes the lab when the process is asked to end, and then lets the signal end the process. With several
// labs in a process, the last one to be gone does so: until then others still catch the signal.
func (l *Lab) stopOnSignal() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	l.goroutines.Go(func() {
		select {
		case <-l.background.Done():
			signal.Stop(signals)
		case s := <-signals:
			go func() {
				_ = l.Stop()
				signal.Stop(signals)
				_ = syscall.Kill(os.Getpid(), s.(syscall.Signal))
			}()
		}
	})
}
