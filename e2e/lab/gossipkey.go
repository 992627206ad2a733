// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// mountGossipKey keeps a file equal to the key in the gossip Secret, as a Secret volume would, and returns its path once
// it is there.
func (l *Lab) mountGossipKey(ctx context.Context) (string, error) {
	path := filepath.Join(l.dir, "secrets", "gossip-key")
	l.mu.Lock()
	first := !l.keyMounted
	l.keyMounted = true
	l.mu.Unlock()
	if first {
		if err := l.watchGossipKey(path); err != nil {
			return "", err
		}
	}
	what := fmt.Sprintf("Secret %s/%s, which announcers mount", productNamespace, gossipSecret)
	return path, Eventually(ctx, what, func(context.Context) (bool, string, error) {
		_, err := os.Stat(path)
		return err == nil, "not there", nil
	})
}

func (l *Lab) watchGossipKey(path string) error {
	factory := informers.NewSharedInformerFactoryWithOptions(l.client, time.Hour, informers.WithNamespace(productNamespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, gossipSecret).String()
		}))
	write := func(obj any) {
		// A kubelet, too, waits for a Secret to have the key that a pod mounts.
		if secret, ok := obj.(*corev1.Secret); ok && len(secret.Data["key"]) > 0 {
			_ = replaceFile(path, secret.Data["key"]) // an error shows as a file that does not come or stays old
		}
	}
	_, err := factory.Core().V1().Secrets().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: write, UpdateFunc: func(_, obj any) { write(obj) },
	})
	if err != nil {
		return fmt.Errorf("watch the gossip key: %w", err)
	}
	factory.Start(l.background.Done())
	l.goroutines.Go(func() {
		<-l.background.Done()
		factory.Shutdown()
	})
	return nil
}

// replaceFile writes a file so that readers see the old or the new content, and leaves an equal one alone.
func replaceFile(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(path+".new", path)
}
