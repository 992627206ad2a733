// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"time"
)

// Pauses before a program that has ended is started again, as a kubelet makes them: none the first time, then one that
// doubles; and a program that ran for long enough is one that ends for the first time.
const (
	firstPause   = 10 * time.Second
	longestPause = 5 * time.Minute
	ranWell      = 10 * time.Minute
)

// restartPause returns how long to wait before a program is started again that ran for some time, after the last pause.
func restartPause(last, ran time.Duration, restarts int) time.Duration {
	switch {
	case restarts == 0 || ran >= ranWell:
		return 0
	case last == 0:
		return firstPause
	}
	return min(2*last, longestPause)
}

// keepRunning starts a program again whenever it ends, until the lab does.
func (l *Lab) keepRunning(host string, c Command, p *Process) {
	var pause time.Duration
	for restarts := 0; ; restarts++ {
		began := time.Now()
		select {
		case <-p.Done():
		case <-l.background.Done():
			return
		}
		pause = restartPause(pause, time.Since(began), restarts)
		select {
		case <-time.After(pause):
		case <-l.background.Done():
			return
		}
		var err error
		if p, err = l.StartProcess(host, c); err != nil {
			if l.background.Err() == nil {
				fmt.Fprintf(l.cfg.Progress, "lab: %v\n", err)
			}
			return
		}
	}
}
