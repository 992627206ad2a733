// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"time"
)

// pollInterval is how often awaited conditions are looked at. Times that tests measure come from probes, not from this.
const pollInterval = 50 * time.Millisecond

// defaultPatience ends an await whose context has no deadline.
const defaultPatience = 60 * time.Second

// Eventually calls check until it reports done, and returns nil then. An error from check ends the wait at once. When
// ctx ends, or after a minute if it has no deadline, the error says what was awaited and the last detail that check gave.
func Eventually(ctx context.Context, what string, check func(context.Context) (done bool, detail string, err error)) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultPatience)
		defer cancel()
	}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	begin, last := time.Now(), ""
	for {
		done, detail, err := check(ctx)
		if err != nil {
			return fmt.Errorf("await %s: %w", what, err)
		}
		if done {
			return nil
		}
		if ctx.Err() == nil || last == "" {
			last = detail
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("await %s: %w after %s; last: %s", what, context.Cause(ctx), time.Since(begin).Round(time.Millisecond), last)
		case <-ticker.C:
		}
	}
}
