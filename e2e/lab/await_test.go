// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEventuallySaysWhatItWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		n := 0
		err := Eventually(ctx, "the tide", func(context.Context) (bool, string, error) {
			n++
			return false, "low water", nil
		})
		for _, part := range []string{"the tide", "low water", "3s"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("error %v does not say %q", err, part)
			}
		}
		if !errors.Is(err, context.DeadlineExceeded) || n < 10 {
			t.Errorf("after %d looks: %v", n, err)
		}
	})
}

func TestEventuallyEnds(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name string
		done bool
		err  error
	}{{"when it is done", true, nil}, {"at an error, without waiting", false, broken}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			err := Eventually(t.Context(), "it", func(context.Context) (bool, string, error) {
				n++
				return tt.done, "", tt.err
			})
			if !errors.Is(err, tt.err) || n != 1 {
				t.Errorf("after %d looks: %v", n, err)
			}
		})
	}
}
