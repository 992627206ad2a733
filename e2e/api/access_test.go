// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

const (
	announcerAccount = "fairlead-announcer"
	ccmAccount       = "fairlead-cloud-controller-manager"
)

// wantForbidden checks that the API server refuses a request, for a reason whose words are given.
func wantForbidden(t *testing.T, what string, err error, words ...string) {
	t.Helper()
	if !apierrors.IsForbidden(err) {
		t.Errorf("%s: want it forbidden, got %v", what, err)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%s: the error lacks %q: %v", what, word, err)
		}
	}
}

// makeVirtualIP makes a VirtualIP whose status names a node, as the administrator.
func makeVirtualIP(t *testing.T, address, node string) {
	t.Helper()
	client := administrator(t).FairleadV1alpha1().VirtualIPs()
	vip, err := client.Create(t.Context(), &v1alpha1.VirtualIP{
		ObjectMeta: metav1.ObjectMeta{Name: address}, Spec: v1alpha1.VirtualIPSpec{Address: address},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { deleteVirtualIP(t, client, address) })
	vip.Status.Node = node
	if _, err := client.UpdateStatus(t.Context(), vip, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// awaitPolicies waits until the admission policies are in force, which takes the API server a moment.
func awaitPolicies(t *testing.T) {
	t.Helper()
	client, _ := account(t, "")
	lab.Await(t.Context(), t, "the admission policies", func(ctx context.Context) (bool, string, error) {
		_, err := client.FairleadV1alpha1().Announcers().Create(ctx, &v1alpha1.Announcer{
			ObjectMeta: metav1.ObjectMeta{Name: "nobody"},
		}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return apierrors.IsForbidden(err), "writes are admitted", nil
	})
}

func TestAnnouncerWritesItsOwnAnnouncerOnly(t *testing.T) {
	awaitPolicies(t)
	admin := administrator(t).FairleadV1alpha1().Announcers()
	fairlead, _ := account(t, "n1")
	client := fairlead.FairleadV1alpha1().Announcers()
	for _, name := range []string{"n1", "n2"} {
		t.Cleanup(func() {
			if err := admin.Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		})
	}

	own, err := client.Create(t.Context(), &v1alpha1.Announcer{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("its own Announcer: %v", err)
	}
	own.Status.Owned, own.Status.Members = 2, 2
	if _, err := client.UpdateStatus(t.Context(), own, metav1.UpdateOptions{}); err != nil {
		t.Errorf("the status of its own Announcer: %v", err)
	}

	_, err = client.Create(t.Context(), &v1alpha1.Announcer{ObjectMeta: metav1.ObjectMeta{Name: "n2"}}, metav1.CreateOptions{})
	wantForbidden(t, "making another node's Announcer", err, "node n1", "Announcer n1 only", "n2")
	other, err := admin.Create(t.Context(), &v1alpha1.Announcer{ObjectMeta: metav1.ObjectMeta{Name: "n2"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other.Status.Owned = 100
	_, err = client.UpdateStatus(t.Context(), other, metav1.UpdateOptions{})
	wantForbidden(t, "the status of another node's Announcer", err, "node n1", "n2")
	_, err = client.Patch(t.Context(), "n2", types.MergePatchType, []byte(`{"status":{"owned":100,"members":1}}`), metav1.PatchOptions{}, "status")
	wantForbidden(t, "patching the status of another node's Announcer", err, "node n1", "n2")
	wantForbidden(t, "deleting an Announcer", client.Delete(t.Context(), "n2", metav1.DeleteOptions{}))
	wantForbidden(t, "deleting its own Announcer", client.Delete(t.Context(), "n1", metav1.DeleteOptions{}))
}

func TestAnnouncerNamesOnlyItsOwnNodeAsOwner(t *testing.T) {
	awaitPolicies(t)
	fairlead, _ := account(t, "n1")
	client := fairlead.FairleadV1alpha1().VirtualIPs()
	for _, test := range []struct {
		name, address  string
		before, patch  string
		forbiddenWords []string // none: admitted
	}{
		{"takes a free address", "203.0.113.1", "", `{"status":{"node":"n1","term":1}}`, nil},
		{"takes over from a dead node", "203.0.113.2", "n2", `{"status":{"node":"n1","term":2}}`, nil},
		{"gives up its own", "203.0.113.3", "n1", `{"status":{"node":null}}`, nil},
		{"renews its own", "203.0.113.4", "n1", `{"status":{"term":5}}`, nil},
		{
			"reports a conflict of an address that nobody has", "203.0.113.5", "",
			`{"status":{"conditions":[{"type":"Conflict","status":"True","reason":"Probe","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`, nil,
		},
		{"puts another node there", "203.0.113.6", "", `{"status":{"node":"n2"}}`, []string{"own node", "n2"}},
		{"hands its own to another node", "203.0.113.7", "n1", `{"status":{"node":"n2"}}`, []string{"n1 to n2"}},
		{"takes another's away", "203.0.113.8", "n2", `{"status":{"node":null}}`, []string{"n2 to nothing"}},
		{"writes of another's", "203.0.113.10", "n2", `{"status":{"term":9}}`, []string{"n2 to n2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			makeVirtualIP(t, test.address, test.before)
			_, err := client.Patch(t.Context(), test.address, types.MergePatchType, []byte(test.patch), metav1.PatchOptions{}, "status")
			if test.forbiddenWords != nil {
				wantForbidden(t, test.name, err, test.forbiddenWords...)
			} else if err != nil {
				t.Errorf("forbidden: %v", err)
			}
		})
	}
}

func TestTokenWithoutNodeWritesNothing(t *testing.T) {
	awaitPolicies(t)
	makeVirtualIP(t, "203.0.113.11", "")
	fairlead, _ := account(t, "")
	_, err := fairlead.FairleadV1alpha1().Announcers().Create(t.Context(),
		&v1alpha1.Announcer{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{})
	wantForbidden(t, "making an Announcer", err, "names no node")
	_, err = fairlead.FairleadV1alpha1().VirtualIPs().Patch(t.Context(), "203.0.113.11", types.MergePatchType,
		[]byte(`{"status":{"node":"n1"}}`), metav1.PatchOptions{}, "status")
	wantForbidden(t, "taking an address", err, "names no node")
}

func TestAnnouncerCannotChangeSpecs(t *testing.T) {
	makeVirtualIP(t, "203.0.113.12", "")
	fairlead, kube := account(t, "n1")
	client, none := fairlead.FairleadV1alpha1(), metav1.PatchOptions{}
	_, err := client.VirtualIPs().Patch(t.Context(), "203.0.113.12", types.MergePatchType, []byte(`{"spec":{"candidates":["n1"]}}`), none)
	wantForbidden(t, "candidates", err)
	// A status write carries the spec too; the API server must not take it over.
	vip, err := client.VirtualIPs().Get(t.Context(), "203.0.113.12", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	vip.Spec.Candidates, vip.Status.Node = []string{"n1"}, "n1"
	written, err := client.VirtualIPs().UpdateStatus(t.Context(), vip, metav1.UpdateOptions{})
	if err != nil || written.Spec.Candidates != nil || written.Status.Node != "n1" {
		t.Errorf("a write of the status left %+v, %v", written, err)
	}
	_, err = kube.CoreV1().Secrets("fairlead-system").Get(t.Context(), "fairlead-gossip", metav1.GetOptions{})
	wantForbidden(t, "reading the gossip key", err)
	_, err = kube.CoreV1().Nodes().Patch(t.Context(), "n1", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), none)
	wantForbidden(t, "labelling its own node", err)
}

// permission is a verb on a resource; group "" is the core group.
type permission struct{ verb, group, resource, subresource, namespace, name string }

func TestAccountsMayDoWhatTheyMustAndNoMore(t *testing.T) {
	const fairlead, system = "fairlead.dev", "fairlead-system"
	for _, test := range []struct {
		account string
		may     []permission
		mayNot  []permission
	}{
		{announcerAccount, []permission{
			{"watch", fairlead, "virtualips", "", "", ""},
			{"patch", fairlead, "virtualips", "status", "", "x"},
			{"watch", fairlead, "addresspools", "", "", ""},
			{"create", fairlead, "announcers", "", "", ""},
			{"patch", fairlead, "announcers", "status", "", "x"},
			{"watch", "", "nodes", "", "", ""},
			{"create", "", "events", "", "default", ""},
			{"watch", "discovery.k8s.io", "endpointslices", "", "", ""},
			{"get", "", "secrets", "", system, "fairlead-bgp-passwords"},
			{"watch", "", "secrets", "", system, "fairlead-bgp-passwords"},
		}, []permission{
			{"list", "", "secrets", "", system, "fairlead-bgp-passwords"},
			{"get", "", "secrets", "", "default", "fairlead-bgp-passwords"},
			{"create", fairlead, "virtualips", "", "", ""},
			{"update", fairlead, "virtualips", "", "", "x"},
			{"delete", fairlead, "virtualips", "", "", "x"},
			{"update", fairlead, "addresspools", "", "", "x"},
			{"update", fairlead, "announcers", "", "", "x"},
			{"delete", fairlead, "announcers", "", "", "x"},
			{"get", "", "secrets", "", system, "fairlead-gossip"},
			{"list", "", "secrets", "", "", ""},
			{"list", "", "pods", "", "", ""},
			{"list", "", "configmaps", "", "", ""},
			{"patch", "", "nodes", "", "", "n1"},
			{"patch", "", "nodes", "status", "", "n1"},
			{"patch", "", "services", "status", "default", "x"},
			{"create", "", "pods", "", "default", ""},
			{"impersonate", "", "users", "", "", "x"},
			{"escalate", "rbac.authorization.k8s.io", "clusterroles", "", "", ""},
		}},
		{ccmAccount, []permission{
			{"create", fairlead, "virtualips", "", "", ""},
			{"delete", fairlead, "virtualips", "", "", "x"},
			{"patch", fairlead, "addresspools", "status", "", "x"},
			{"patch", "", "services", "status", "default", "x"},
			{"patch", "", "nodes", "", "", "n1"},
			{"update", "coordination.k8s.io", "leases", "", system, ccmAccount},
			{"update", "", "secrets", "", system, "fairlead-gossip"},
			{"watch", "discovery.k8s.io", "endpointslices", "", "", ""},
		}, []permission{
			{"update", fairlead, "addresspools", "", "", "x"},
			{"delete", fairlead, "addresspools", "", "", "x"},
			{"update", fairlead, "announcers", "status", "", "x"},
			{"patch", fairlead, "virtualips", "status", "", "x"},
			{"get", "", "secrets", "", system, "other"},
			{"get", "", "secrets", "", "default", "fairlead-gossip"},
			{"list", "", "secrets", "", system, ""},
			{"create", "", "pods", "", "default", ""},
			{"delete", "", "services", "", "default", "x"},
			{"update", "coordination.k8s.io", "leases", "", "kube-system", ccmAccount},
			{"create", "", "serviceaccounts", "token", "kube-system", "default"},
		}},
	} {
		t.Run(test.account, func(t *testing.T) {
			for _, p := range test.may {
				if !allowed(t, test.account, p) {
					t.Errorf("may not %+v, and must", p)
				}
			}
			for _, p := range test.mayNot {
				if allowed(t, test.account, p) {
					t.Errorf("may %+v", p)
				}
			}
		})
	}
}

func allowed(t *testing.T, name string, p permission) bool {
	t.Helper()
	review, err := cluster(t).Client().AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "system:serviceaccount:fairlead-system:" + name,
			Groups: []string{
				"system:serviceaccounts", "system:serviceaccounts:fairlead-system", "system:authenticated",
			},
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: p.verb, Group: p.group, Resource: p.resource, Subresource: p.subresource, Namespace: p.namespace, Name: p.name,
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

func TestGossipKeyIsDeclaredWithoutData(t *testing.T) {
	l := cluster(t)
	secrets := l.Client().CoreV1().Secrets("fairlead-system")
	secret, err := secrets.Get(t.Context(), "fairlead-gossip", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if secret.Type != corev1.SecretTypeOpaque || len(secret.Data) != 0 {
		t.Fatalf("Secret of type %s with %d entries, want an empty one", secret.Type, len(secret.Data))
	}
	const key = `{"stringData":{"key":"made by somebody"}}`
	if _, err := secrets.Patch(t.Context(), "fairlead-gossip", types.MergePatchType, []byte(key), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := l.ApplyManifests(t.Context()); err != nil {
		t.Fatal(err)
	}
	secret, err = secrets.Get(t.Context(), "fairlead-gossip", metav1.GetOptions{})
	if err != nil || string(secret.Data["key"]) != "made by somebody" {
		t.Errorf("applying the manifests again left the key %q, %v", secret.Data["key"], err)
	}
}
