// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/memberlist"
)

// validateKeys names a faulty key by its position, never by its content.
func validateKeys(keys [][]byte) error {
	if len(keys) == 0 {
		return errors.New("keys: at least one is needed")
	}
	var errs []error
	for i, k := range keys {
		if err := memberlist.ValidateKey(k); err != nil {
			errs = append(errs, fmt.Errorf("key %d of %d has %d bytes: must be 16, 24 or 32", i+1, len(keys), len(k)))
		}
	}
	return errors.Join(errs...)
}

// replaceKeys makes the ring hold exactly keys, the first of them primary, while packets are being decrypted with it.
// The order of steps keeps every packet readable by members that have either the old or the new keys. RemoveKey moves
// keys within the slice that readers hold unless the key is the last one, hence the rotation.
func replaceKeys(ring *memberlist.Keyring, keys [][]byte) error {
	if err := errors.Join(ring.AddKey(keys[0]), ring.UseKey(keys[0])); err != nil {
		return err
	}
	wanted := func(k []byte) bool {
		return slices.ContainsFunc(keys, func(w []byte) bool { return bytes.Equal(w, k) })
	}
	for {
		have := ring.GetKeys()
		i := slices.IndexFunc(have, func(k []byte) bool { return !wanted(k) })
		if i < 0 {
			break
		}
		for _, k := range have[i+1:] {
			if wanted(k) { // to the front, so that unwanted ones gather at the end
				if err := errors.Join(ring.UseKey(k), ring.UseKey(keys[0])); err != nil {
					return err
				}
			}
		}
		have = ring.GetKeys()
		if err := ring.RemoveKey(have[len(have)-1]); err != nil {
			return err
		}
	}
	for _, k := range keys[1:] {
		if err := ring.AddKey(k); err != nil {
			return err
		}
	}
	return nil
}
