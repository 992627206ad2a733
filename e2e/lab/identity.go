// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// stateDir holds a lock file and a directory per lab. It does not follow TMPDIR: numbers must be unique on the machine.
const stateDir = "/tmp/fairlead-lab"

// maxLabs bounds the numbers of labs: they are an octet of the addresses.
const maxLabs = 256

// errLabRunning says that the lock of a lab is held, so its owner lives.
var errLabRunning = errors.New("the lab's owner is running")

// identity is the number of a lab and the lock that holds it. The kernel releases the lock when its owner dies, however
// it dies: that is how a later run tells a leftover from a lab in use.
type identity struct {
	id   int
	lock *os.File
}

// claimIdentity takes the lowest free number. What an owner that was killed left under it is removed first.
func claimIdentity() (*identity, error) {
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	for id := range maxLabs {
		ident, err := lockIdentity(id)
		if errors.Is(err, errLabRunning) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := removeLeftovers(id); err != nil {
			_ = ident.release()
			return nil, err
		}
		return ident, nil
	}
	return nil, fmt.Errorf("no free lab number: %d labs are running", maxLabs)
}

// lockIdentity takes the lock of one number, or returns errLabRunning.
func lockIdentity(id int) (*identity, error) {
	for {
		f, err := os.OpenFile(lockPath(id), os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return nil, fmt.Errorf("open the lock of lab %d: %w", id, err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			_ = f.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, errLabRunning
			}
			return nil, fmt.Errorf("lock lab %d: %w", id, err)
		}
		if isAt(f, lockPath(id)) {
			return &identity{id: id, lock: f}, nil
		}
		_ = f.Close() // its last owner removed it after it was opened here: others may have locked the next one by now
	}
}

// release frees the number, and removes the file while nobody else can have locked it.
func (i *identity) release() error { return errors.Join(os.Remove(lockPath(i.id)), i.lock.Close()) }

// isAt tells whether an open file is the one that has the path now.
func isAt(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(open, there)
}

// lockSuffix ends the names of lock files, which begin with the number.
const lockSuffix = ".lock"

func lockPath(id int) string { return filepath.Join(stateDir, strconv.Itoa(id)+lockSuffix) }

func labDir(id int) string { return filepath.Join(stateDir, strconv.Itoa(id)) }

// netnsPrefix begins the name of every namespace of a lab.
func netnsPrefix(id int) string { return fmt.Sprintf("fl%d-", id) }

// Sweep removes what labs left whose owner died without removing it, and returns their numbers. Labs in use are left
// alone.
func Sweep() ([]int, error) {
	left, err := recordedLabs()
	if err != nil {
		return nil, err
	}
	var swept []int
	var errs []error
	for _, id := range left {
		ident, err := lockIdentity(id)
		if errors.Is(err, errLabRunning) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if err := removeLeftovers(id); err != nil {
			errs = append(errs, err)
		} else {
			swept = append(swept, id)
		}
		errs = append(errs, ident.release())
	}
	return swept, errors.Join(errs...)
}

// recordedLabs returns the numbers that have a directory, a lock file or a namespace, running or not.
func recordedLabs() ([]int, error) {
	found := map[int]bool{}
	dirs, err := os.ReadDir(stateDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list labs: %w", err)
	}
	for _, d := range dirs {
		if id, err := strconv.Atoi(strings.TrimSuffix(d.Name(), lockSuffix)); err == nil {
			found[id] = true
		}
	}
	names, err := namespaceNames("fl")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		digits, _, ok := strings.Cut(strings.TrimPrefix(name, "fl"), "-")
		if id, err := strconv.Atoi(digits); ok && err == nil && id < maxLabs {
			found[id] = true
		}
	}
	var ids []int
	for id := range maxLabs {
		if found[id] {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// removeLeftovers removes the namespaces of a lab, the processes that still live in them, its control groups and its
// directory. The caller holds the lab's lock.
func removeLeftovers(id int) error {
	names, err := namespaceNames(netnsPrefix(id))
	if err != nil {
		return err
	}
	if err := killInside(names); err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, removeNamespace(name))
	}
	errs = append(errs, removeCgroups(labDir(id)), os.RemoveAll(labDir(id)))
	return errors.Join(errs...)
}
