// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/fairlead-io/fairlead/pkg/bgp"
)

// soon awaits a condition.
func soon(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !check() {
		select {
		case <-deadline.Done():
			t.Fatalf("%s: not within 30s", what)
		case <-tick.C:
		}
	}
}

func TestSecretStore(t *testing.T) {
	kept := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: secretNamespace, Name: "fairlead-bgp-passwords"},
		Data:       map[string][]byte{"tor-a": []byte("one")},
	}
	client := fake.NewClientset(kept.DeepCopy())
	var changes atomic.Int32
	secrets := client.CoreV1().Secrets(secretNamespace)
	store := newSecretStore(secrets, func() { changes.Add(1) })
	defer store.close()
	if got := store.password("fairlead-bgp-passwords", "tor-a"); !errors.Is(got.err, errNotRead) {
		t.Errorf("before it was asked for: %+v", got)
	}
	store.want(t.Context(), map[string]bool{"fairlead-bgp-passwords": true, "missing": true})
	soon(t, "the password", func() bool { return store.password("fairlead-bgp-passwords", "tor-a").password == "one" })
	if got := store.password("fairlead-bgp-passwords", "tor-b"); got.err == nil || !strings.Contains(got.err.Error(), `no key "tor-b"`) {
		t.Errorf("another key: %+v", got)
	}
	soon(t, "an error of one that is not there", func() bool {
		got := store.password("missing", "password")
		return got.err != nil && strings.Contains(got.err.Error(), `"missing" not found`)
	})
	soon(t, "a watch", func() bool {
		for _, a := range client.Actions() {
			w, ok := a.(clienttesting.WatchAction)
			if ok && w.GetWatchRestrictions().Fields.String() == "metadata.name=fairlead-bgp-passwords" {
				return true
			}
		}
		return false
	})
	for _, a := range client.Actions() {
		if a.GetVerb() == "list" {
			t.Errorf("%+v: the Role allows no list", a)
		}
	}
	before := changes.Load()
	kept.Data["tor-a"] = []byte("two")
	if _, err := secrets.Update(t.Context(), kept, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	soon(t, "the new password", func() bool { return store.password("fairlead-bgp-passwords", "tor-a").password == "two" })
	soon(t, "word of it", func() bool { return changes.Load() > before })
	store.want(t.Context(), nil)
	if got := store.password("fairlead-bgp-passwords", "tor-a"); !errors.Is(got.err, errNotRead) {
		t.Errorf("after it was wanted: %+v", got)
	}
}

func TestSecretIsKeptWhileTheServerIsAway(t *testing.T) {
	client := fake.NewClientset()
	var away atomic.Bool
	client.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		if away.Load() {
			return true, nil, errors.New("the server is away")
		}
		return true, &corev1.Secret{Data: map[string][]byte{"password": []byte("pw")}}, nil
	})
	store := newSecretStore(client.CoreV1().Secrets(secretNamespace), func() {})
	defer store.close()
	store.want(t.Context(), map[string]bool{"tor-a": true})
	soon(t, "the password", func() bool { return store.password("tor-a", secretKey).password == "pw" })
	away.Store(true)
	if _, err := store.read(t.Context(), "tor-a"); err == nil {
		t.Fatal("read while the server is away")
	}
	if got := store.password("tor-a", secretKey); got.password != "pw" || got.err != nil {
		t.Errorf("while the server is away: %+v", got)
	}
}

func TestSecretThatIsBeingReadIsNoError(t *testing.T) {
	client := fake.NewClientset()
	answer := make(chan struct{})
	client.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		<-answer
		return false, nil, nil
	})
	store := newSecretStore(client.CoreV1().Secrets(secretNamespace), func() {})
	defer store.close()
	store.want(t.Context(), map[string]bool{"missing": true})
	b := &bgpAgent{speaker: bgp.New(bgp.Config{})}
	now := func() bgp.Session {
		b.problems = map[string]error{"tor-a": fmt.Errorf("spec.passwordSecret: %w", store.password("missing", secretKey).err)}
		return b.sessions()[0]
	}
	if s := now(); !store.reading() || s.State != bgp.Idle || s.LastError != "" {
		t.Errorf("while the Secret is being read (%v), the session is %+v", store.reading(), s)
	}
	close(answer)
	soon(t, "the end of the reading", func() bool { return !store.reading() })
	if s := now(); !strings.Contains(s.LastError, `"missing" not found`) {
		t.Errorf("when the Secret is not there, the session is %+v", s)
	}
}
