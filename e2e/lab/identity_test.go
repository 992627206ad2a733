// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// TestIdentityHasOneOwner has many take and free a number that no lab can have, as labs do that begin and end.
func TestIdentityHasOneOwner(t *testing.T) {
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		t.Skip(err)
	}
	id := maxLabs + os.Getpid()
	var owners atomic.Int32
	var taken atomic.Int64
	var trying sync.WaitGroup
	for range 8 {
		trying.Go(func() {
			for range 2000 {
				ident, err := lockIdentity(id)
				if errors.Is(err, errLabRunning) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := owners.Add(1); n != 1 {
					t.Errorf("%d own the number", n)
				}
				taken.Add(1)
				owners.Add(-1)
				if err := ident.release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	trying.Wait()
	if taken.Load() == 0 {
		t.Error("nobody got the number")
	}
	if _, err := os.Stat(lockPath(id)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock file is still there: %v", err)
	}
}

func TestLogsTakeThePlaceOfEarlierOnes(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "logs")
	for _, text := range []string{"first", "second"} {
		if err := os.WriteFile(filepath.Join(from, "ccm.log"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := copyLogs(from, to); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(to, "ccm.log")); err != nil || string(got) != text {
			t.Errorf("%q, %v; want %q", got, err, text)
		}
	}
}
