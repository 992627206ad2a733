// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// TestAServiceWaitsForNewsOfItsNamespace: it gets no address of a pool that its Namespace's labels do not lead to.
func TestAServiceWaitsForNewsOfItsNamespace(t *testing.T) {
	forTeam := func(spec *v1alpha1.AddressPoolSpec) {
		spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "web"}}
	}
	w := newWorld(t, poolOf("general", "10.0.0.1-10.0.0.9"), poolOf("web", "10.0.1.1-10.0.1.9", forTeam))
	service := balanced("ns", "a", 80)
	if status, err := w.Ensure(t.Context(), service); err == nil || Permanent(err) {
		t.Errorf("before its Namespace is known: %v and error %v, want an error that passes", status, err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns", Labels: map[string]string{"team": "web"}}}
	if _, err := w.kube.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.knows(func() bool {
		_, err := w.config.Namespaces.Lister().Get("ns")
		return err == nil
	})
	w.gets(service, "10.0.1.1")
}
