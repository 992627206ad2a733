// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	typed "github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned/typed/api/v1alpha1"
)

func deleteVirtualIP(t *testing.T, client typed.VirtualIPInterface, name string) {
	t.Helper()
	err := client.Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Error(err)
	}
}

func TestServerAcceptsAllManifests(t *testing.T) {
	said, err := cluster(t).DryRunManifests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range []string{
		"namespace/fairlead-system", "deployment.apps/fairlead-cloud-controller-manager", "daemonset.apps/fairlead-announcer",
		"secret/fairlead-gossip", "configmap/fairlead-cloud-config",
		"customresourcedefinition.apiextensions.k8s.io/addresspools.fairlead.dev",
		"customresourcedefinition.apiextensions.k8s.io/virtualips.fairlead.dev",
		"customresourcedefinition.apiextensions.k8s.io/bgppeers.fairlead.dev",
		"customresourcedefinition.apiextensions.k8s.io/announcers.fairlead.dev",
		"validatingadmissionpolicy.admissionregistration.k8s.io/fairlead-announcer-own-announcer",
		"validatingadmissionpolicy.admissionregistration.k8s.io/fairlead-announcer-virtualip-status",
	} {
		if !strings.Contains(said, object) {
			t.Errorf("nothing about %s in:\n%s", object, said)
		}
	}
	if strings.Contains(said, "Warning") {
		t.Errorf("the API server warns:\n%s", said)
	}
}

func TestDefinitionsAreEstablishedWithoutComplaint(t *testing.T) {
	out, err := cluster(t).Kubectl(t.Context(), "get", "crd", "-o",
		`jsonpath={range .items[*]}{.metadata.name}{range .status.conditions[*]} {.type}={.status}{end}{"\n"}{end}`)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		if !strings.Contains(line, "Established=True") || strings.Contains(line, "NonStructuralSchema=True") {
			t.Errorf("definition %s", line)
		}
	}
}

const shown = `
apiVersion: fairlead.dev/v1alpha1
kind: AddressPool
metadata: {name: shown}
spec: {addresses: [203.0.113.64/29]}
---
apiVersion: fairlead.dev/v1alpha1
kind: VirtualIP
metadata: {name: 203.0.113.65}
spec:
  address: 203.0.113.65
  pool: shown
  services: [{namespace: team-a, name: web}]
  candidates: [n2, n1]
---
apiVersion: fairlead.dev/v1alpha1
kind: BGPPeer
metadata: {name: shown}
spec: {peerAddress: 203.0.113.1, peerASN: 64512, localASN: 64513}
---
apiVersion: fairlead.dev/v1alpha1
kind: Announcer
metadata: {name: shown}
`

// show creates the objects that kubectl is to show, until the test ends.
func show(t *testing.T) {
	t.Helper()
	l, client := cluster(t), administrator(t).FairleadV1alpha1()
	if err := l.Apply(t.Context(), shown); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, none := context.WithoutCancel(t.Context()), metav1.DeleteOptions{}
		for _, err := range []error{
			client.AddressPools().Delete(ctx, "shown", none), client.VirtualIPs().Delete(ctx, "203.0.113.65", none),
			client.BGPPeers().Delete(ctx, "shown", none), client.Announcers().Delete(ctx, "shown", none),
		} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	for _, status := range [][]string{
		{"addresspool", "shown", `{"status":{"capacity":{"total":"8","assigned":"1","free":"7"},"conditions":[{"type":"Ready","status":"True","reason":"Ready","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`},
		{"virtualip", "203.0.113.65", `{"status":{"node":"n2"}}`},
		{"announcer", "shown", `{"status":{"gossipAddress":"10.0.0.5:7946","owned":3,"members":2,"version":"v0.1.0"}}`},
	} {
		if _, err := l.Kubectl(t.Context(), "patch", status[0], status[1], "--subresource=status", "--type=merge", "-p", status[2]); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKubectlShowsObjects(t *testing.T) {
	l := cluster(t)
	show(t)
	for _, test := range []struct {
		name    string
		args    []string
		columns []string
		row     []string // without the age
	}{
		{"pools", []string{"pools"}, []string{"NAME", "TOTAL", "ASSIGNED", "FREE", "READY", "AGE"}, []string{"shown", "8", "1", "7", "True"}},
		{"pool", []string{"pool"}, []string{"NAME", "TOTAL", "ASSIGNED", "FREE", "READY", "AGE"}, []string{"shown", "8", "1", "7", "True"}},
		{
			"pools, wide",
			[]string{"addresspools", "-o", "wide"},
			[]string{"NAME", "TOTAL", "ASSIGNED", "FREE", "READY", "REASON", "AGE"},
			[]string{"shown", "8", "1", "7", "True", "Ready"},
		},
		{
			"vip",
			[]string{"vip"},
			[]string{"NAME", "ADDRESS", "POOL", "NAMESPACE", "SERVICE", "NODE", "AGE"},
			[]string{"203.0.113.65", "203.0.113.65", "shown", "team-a", "web", "n2"},
		},
		{
			"vips",
			[]string{"vips"},
			[]string{"NAME", "ADDRESS", "POOL", "NAMESPACE", "SERVICE", "NODE", "AGE"},
			[]string{"203.0.113.65", "203.0.113.65", "shown", "team-a", "web", "n2"},
		},
		{
			"announcers",
			[]string{"announcers"},
			[]string{"NAME", "ADDRESS", "OWNED", "MEMBERS", "VERSION", "AGE"},
			[]string{"shown", "10.0.0.5:7946", "3", "2", "v0.1.0"},
		},
		{"peers", []string{"bgppeers"}, []string{"NAME", "PEER", "ASN", "AGE"}, []string{"shown", "203.0.113.1", "64512"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, err := l.Kubectl(t.Context(), append([]string{"get"}, test.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			columns, row := table(out, test.row[0])
			for _, column := range []string{"INTERFACE", "READY"} { // those that are empty in the row
				if len(columns) > len(test.columns) {
					columns = without(columns, column)
				}
			}
			if diff := cmp.Diff(test.columns, columns); diff != "" {
				t.Errorf("columns (-want +got):\n%s", diff)
			}
			if len(row) == 0 || !cmp.Equal(test.row, row[:len(row)-1]) {
				t.Errorf("row %q, want %q and an age", row, test.row)
			}
		})
	}
	if out, err := l.Kubectl(t.Context(), "get", "fairlead", "-o", "name"); err != nil || strings.Count(out, "shown") != 3 ||
		!strings.Contains(out, "virtualip.fairlead.dev/203.0.113.65") {
		t.Errorf("kubectl get fairlead: %v\n%s", err, out)
	}
}

// table returns the header of kubectl's output and the fields of the row that begins with a name.
func table(out, name string) (header, row []string) {
	for i, line := range strings.Split(out, "\n") {
		fields := strings.Fields(line)
		switch {
		case i == 0:
			header = fields
		case len(fields) > 0 && fields[0] == name:
			row = fields
		}
	}
	return header, row
}

func without(columns []string, column string) []string {
	var rest []string
	for _, c := range columns {
		if c != column {
			rest = append(rest, c)
		}
	}
	return rest
}

func TestDefinitionsKeepDefaults(t *testing.T) {
	l, pools := cluster(t), administrator(t).FairleadV1alpha1().AddressPools()
	if err := l.Apply(t.Context(), `{"apiVersion":"fairlead.dev/v1alpha1","kind":"AddressPool","metadata":{"name":"bare"},"spec":{"addresses":["203.0.113.72/29"]}}`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pools.Delete(context.WithoutCancel(t.Context()), "bare", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	pool, err := pools.Get(t.Context(), "bare", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if pool.Spec.AutoAssign == nil || !*pool.Spec.AutoAssign {
		t.Error("autoAssign does not default to true")
	}
	if pool.Spec.ReleaseDelay == nil || pool.Spec.ReleaseDelay.Seconds() != 60 {
		t.Errorf("releaseDelay defaults to %v, want 60s", pool.Spec.ReleaseDelay)
	}
	if len(pool.Spec.Announce) != 1 || pool.Spec.Announce[0].L2 == nil {
		t.Errorf("announce defaults to %+v, want one entry, l2", pool.Spec.Announce)
	}
	if meta.FindStatusCondition(pool.Status.Conditions, "Ready") != nil {
		t.Error("a new pool has a condition before anybody looked at it")
	}
}
