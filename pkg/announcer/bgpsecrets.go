// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/klog/v2"
)

const (
	// secretNamespace has the Secrets with passwords, secretKey is where in them if the peer names no other key.
	secretNamespace, secretKey = "fairlead-system", "password"
	secretTimeout              = 5 * time.Second
	// secretInterval is how often a Secret is read again that cannot be watched, or is not there.
	secretInterval = 10 * time.Second
	// secretWatch is how long one watch lasts.
	secretWatch = 5 * time.Minute
)

// errNotRead: the Secret is being read.
var errNotRead = errors.New("has not been read yet")

// secret is a password, or why there is none.
type secret struct {
	password string
	err      error
}

// secretStore follows the Secrets that peers of this node name. Each is read and watched by its name alone, which is all
// that the announcer's Role allows. A Secret that cannot be read any more keeps its last content: an API server that is
// away must not end sessions.
type secretStore struct {
	client  corev1client.SecretInterface
	changed func()

	mu     sync.Mutex
	byName map[string]*followedSecret
	tasks  sync.WaitGroup
}

type followedSecret struct {
	stop context.CancelFunc
	data map[string][]byte
	err  error
}

func newSecretStore(client corev1client.SecretInterface, changed func()) *secretStore {
	return &secretStore{client: client, changed: changed, byName: map[string]*followedSecret{}}
}

// want sets the names of the Secrets to follow, until ctx is done.
func (s *secretStore) want(ctx context.Context, names map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.byName, func(name string, f *followedSecret) bool {
		if !names[name] {
			f.stop()
		}
		return !names[name]
	})
	for name := range names {
		if s.byName[name] != nil {
			continue
		}
		life, stop := context.WithCancel(ctx)
		s.byName[name] = &followedSecret{stop: stop, err: errNotRead}
		s.tasks.Go(func() { s.follow(life, name) })
	}
}

// reading tells whether a Secret is being read for the first time, which ends within secretTimeout.
func (s *secretStore) reading() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.byName {
		if errors.Is(f.err, errNotRead) {
			return true
		}
	}
	return false
}

// password returns what a key of a Secret holds.
func (s *secretStore) password(name, key string) secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.byName[name]
	if f == nil {
		return secret{err: errNotRead}
	}
	if f.data == nil {
		return secret{err: f.err}
	}
	password := string(f.data[key])
	if password == "" {
		return secret{err: fmt.Errorf("has no key %q", key)}
	}
	return secret{password: password}
}

// follow reads a Secret and watches it until ctx is done.
func (s *secretStore) follow(ctx context.Context, name string) {
	for ctx.Err() == nil {
		pause := secretInterval
		version, err := s.read(ctx, name)
		if err == nil {
			err = s.watch(ctx, name, version)
		}
		if err == nil {
			pause = 0 // it ended as watches do
		} else if ctx.Err() == nil {
			klog.FromContext(ctx).V(2).Info("Secret not watched for now", "secret", name, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// read reads the Secret, and returns the version to watch from.
func (s *secretStore) read(ctx context.Context, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, secretTimeout)
	defer cancel()
	got, err := s.client.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		s.note(name, nil, err)
		return "", err
	}
	s.note(name, got.Data, nil)
	return got.ResourceVersion, nil
}

// watch takes in changes until the watch ends.
func (s *secretStore) watch(ctx context.Context, name, version string) error {
	w, err := s.client.Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String(), ResourceVersion: version,
		TimeoutSeconds: new(int64(secretWatch.Seconds())),
	})
	if err != nil {
		return err
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case ev, open := <-w.ResultChan():
			if !open {
				return nil
			}
			switch object := ev.Object.(type) {
			case *corev1.Secret:
				s.note(name, object.Data, nil)
			case *metav1.Status:
				return apierrors.FromObject(object)
			}
		}
	}
}

// note takes in the content, or why there is none.
func (s *secretStore) note(name string, data map[string][]byte, err error) {
	s.mu.Lock()
	f := s.byName[name]
	differs := f != nil && (err == nil || f.data == nil)
	if differs {
		f.data, f.err = data, err
	}
	s.mu.Unlock()
	if differs {
		s.changed()
	}
}

// close ends all and waits.
func (s *secretStore) close() {
	s.want(context.Background(), nil)
	s.tasks.Wait()
}
