// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
)

const (
	gossipSecret   = "fairlead-gossip"
	gossipKey      = "key"
	gossipKeyBytes = 32 // AES-256
	gossipKeyRetry = 5 * time.Second
)

// ensureGossipKey makes the key that encrypts the announcers' gossip, where the Secret of the manifests has none yet. A
// key that is there is never touched: changing it is the operator's to do.
func (c *Controller) ensureGossipKey(ctx context.Context) {
	logger := klog.FromContext(ctx)
	err := wait.PollUntilContextCancel(ctx, gossipKeyRetry, true, func(ctx context.Context) (bool, error) {
		made, err := c.makeGossipKey(ctx)
		if err != nil {
			logger.Error(err, "the announcers have no gossip key yet")
			return false, nil
		}
		if made {
			logger.Info("made the gossip key", "secret", klog.KRef(c.config.Namespace, gossipSecret))
		}
		return true, nil
	})
	if err != nil && ctx.Err() == nil {
		logger.Error(err, "giving up on the gossip key")
	}
}

func (c *Controller) makeGossipKey(ctx context.Context) (made bool, err error) {
	secrets := c.config.Kube.CoreV1().Secrets(c.config.Namespace)
	secret, err := secrets.Get(ctx, gossipSecret, metav1.GetOptions{})
	if err != nil {
		return false, fmt.Errorf("reading Secret %s/%s, which the manifests declare: %w", c.config.Namespace, gossipSecret, err)
	}
	if len(secret.Data[gossipKey]) > 0 {
		return false, nil
	}
	key := make([]byte, gossipKeyBytes)
	if _, err := rand.Read(key); err != nil {
		return false, fmt.Errorf("making a random key: %w", err)
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	secret.Data[gossipKey] = []byte(base64.StdEncoding.EncodeToString(key) + "\n")
	if _, err := secrets.Update(ctx, secret, metav1.UpdateOptions{}); err != nil {
		return false, fmt.Errorf("writing Secret %s/%s: %w", c.config.Namespace, gossipSecret, err)
	}
	return true, nil
}
