// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubefake "k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
)

// TestGossipKeyIsMadeThoughSomebodyWritesTheSecret has somebody else write the Secret between read and write.
func TestGossipKeyIsMadeThoughSomebodyWritesTheSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kube := kubefake.NewClientset(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: gossipSecret}})
		conflicts := 2
		kube.PrependReactor("update", "secrets", func(action ktesting.Action) (bool, runtime.Object, error) {
			conflicts--
			return conflicts >= 0, nil, apierrors.NewConflict(action.GetResource().GroupResource(), gossipSecret, nil)
		})
		c := &Controller{config: Config{Kube: kube, Namespace: "ns"}}
		c.ensureGossipKey(t.Context())
		secret, err := kube.CoreV1().Secrets("ns").Get(t.Context(), gossipSecret, metav1.GetOptions{})
		if err != nil || len(secret.Data[gossipKey]) == 0 {
			t.Errorf("the Secret has %d keys, error %v; want one key", len(secret.Data), err)
		}
	})
}
