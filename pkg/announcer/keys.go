// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
)

// keyInterval between two looks at the file of gossip keys.
const keyInterval = 5 * time.Second

// gossipKeyLength in bytes: AES-256.
const gossipKeyLength = 32

// errNoKey: the file is there and holds nothing yet.
var errNoKey = errors.New("no key yet")

// readKeys reads one key a line, in base64. Errors name the line, never what is in it.
func readKeys(file string) ([][]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("gossip keys: %w", err)
	}
	var keys [][]byte
	for i, line := range strings.Split(string(b), "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(key) != gossipKeyLength {
			return nil, fmt.Errorf("gossip keys: %s line %d: must be %d bytes in base64", file, i+1, gossipKeyLength)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("gossip keys: %s: %w", file, errNoKey)
	}
	return keys, nil
}

// awaitKeys returns the keys as soon as there are some: the cloud controller manager fills the Secret when it has become
// leader, which may be after this agent's start.
func awaitKeys(ctx context.Context, file string) ([][]byte, error) {
	logged := ""
	for {
		keys, err := readKeys(file)
		if err == nil {
			return keys, nil
		}
		if err.Error() != logged {
			logged = err.Error()
			klog.FromContext(ctx).Info("Waiting for the gossip keys", "file", file, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

// followKeys sets the keys anew whenever the file has others. What cannot be read leaves them as they are.
func followKeys(ctx context.Context, file string, keys [][]byte, set func([][]byte) error) {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		now, err := readKeys(file)
		if err == nil && slices.EqualFunc(now, keys, bytes.Equal) {
			return
		}
		if err == nil {
			err = set(now)
		}
		if err != nil {
			klog.FromContext(ctx).Error(err, "Gossip keys not changed")
			return
		}
		keys = now
		klog.FromContext(ctx).Info("Gossip keys changed", "keys", len(keys))
	}, keyInterval)
}
