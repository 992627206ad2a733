// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubefake "k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned/fake"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// TestDocumentedRoleSuffices does all that the plugin does with the rights of the ClusterRole in docs/kubectl-fairlead.md.
func TestDocumentedRoleSuffices(t *testing.T) {
	page, err := os.ReadFile("../../docs/kubectl-fairlead.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatal("docs/kubectl-fairlead.md has no YAML")
	}
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict(block[1], &role); err != nil {
		t.Fatal(err)
	}
	var used sync.Map // *rbacv1.PolicyRule: the plugin reads many objects at once
	limit := func(action ktesting.Action) (bool, runtime.Object, error) {
		for i := range role.Rules {
			rule, resource := &role.Rules[i], action.GetResource()
			if slices.Contains(rule.APIGroups, resource.Group) && slices.Contains(rule.Resources, resource.Resource) &&
				slices.Contains(rule.Verbs, action.GetVerb()) {
				used.Store(rule, nil)
				return false, nil, nil
			}
		}
		return true, nil, apierrors.NewForbidden(action.GetResource().GroupResource(), action.GetVerb(), nil)
	}
	kube := kubefake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}},
		&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead-system", Name: configName},
			Data:       map[string]string{configKey: "apiVersion: config.fairlead.dev/v1alpha1\nkind: CloudConfig\n"},
		})
	objects := fake.NewSimpleClientset(&v1alpha1.Announcer{ObjectMeta: metav1.ObjectMeta{Name: "n1"}})
	kube.PrependReactor("*", "*", limit)
	objects.PrependReactor("*", "*", limit)
	var warnings bytes.Buffer
	c := clients{kube: kube, fairlead: objects, home: "fairlead-system", warnings: &warnings}
	if _, err := c.read(t.Context()); err != nil || warnings.Len() > 0 {
		t.Errorf("reading the cluster: %v %s", err, &warnings)
	}
	if err := c.mark(t.Context(), "n1", map[string]any{"annotations": map[string]any{v1alpha1.DrainKey: "true"}}); err != nil {
		t.Errorf("marking the node: %v", err)
	}
	if err := c.awaitEmpty(t.Context(), "n1", time.Minute); err != nil {
		t.Errorf("waiting until it is empty: %v", err)
	}
	for i := range role.Rules {
		if _, is := used.Load(&role.Rules[i]); !is {
			t.Errorf("nothing needs the rule %+v", role.Rules[i])
		}
	}
}
