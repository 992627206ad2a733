// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	cloudproviderapi "k8s.io/cloud-provider/api"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

func tainted(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(taint corev1.Taint) bool {
		return taint.Key == cloudproviderapi.TaintExternalCloudProvider
	})
}

func (c *cloud) awaitNode(t *testing.T, name, what string, check func(*corev1.Node) bool) {
	t.Helper()
	lab.Await(t.Context(), t, "node "+name+" "+what, func(ctx context.Context) (bool, string, error) {
		node, err := c.Client().CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		return check(node), fmt.Sprintf("providerID %q, taints %v, addresses %v", node.Spec.ProviderID, node.Spec.Taints, node.Status.Addresses), nil
	})
}

func TestNodesAreInitialised(t *testing.T) {
	t.Parallel()
	c := sharedCloud(t)
	for _, name := range c.Nodes() {
		c.awaitNode(t, name, "to be initialised", func(node *corev1.Node) bool {
			return !tainted(node) && strings.HasPrefix(node.Spec.ProviderID, "fairlead://") &&
				node.Labels[corev1.LabelInstanceTypeStable] == "machine" &&
				slices.Contains(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: c.Addr4(name).String()}) &&
				slices.Contains(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: name})
		})
	}
}

func TestGossipKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	c := sharedCloud(t)
	var made string
	lab.Await(t.Context(), t, "the gossip key", func(ctx context.Context) (bool, string, error) {
		secret, err := c.Client().CoreV1().Secrets("fairlead-system").Get(ctx, "fairlead-gossip", metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		made = string(secret.Data["key"])
		return made != "", "empty", nil
	})
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(made))
	if err != nil || len(key) != 32 {
		t.Errorf("a key of %d bytes, want 32 (%v)", len(key), err)
	}
}

// A node whose kubelet has no --node-ip has no address of its own accord: its addresses come from its announcer's report.
func TestNodeWithoutAddressWaitsForItsInventory(t *testing.T) {
	c := ownCloud(t, lab.Config{Nodes: 1, NoNodeIP: true})
	ctx := t.Context()
	const mine = "the operator's own key"
	if _, err := c.Client().CoreV1().Secrets("fairlead-system").Patch(ctx, "fairlead-gossip", types.MergePatchType,
		[]byte(fmt.Sprintf(`{"stringData":{"key":%q}}`, mine)), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	config := `
apiVersion: config.fairlead.dev/v1alpha1
kind: CloudConfig
zones:
- {zone: rack-1, region: here, cidrs: [10.240.0.0/12]}
`
	ccm, err := c.StartCCM(ctx, "ccm", lab.CCMOptions{CloudConfig: config})
	if err != nil {
		t.Fatal(err)
	}
	lab.Await(ctx, t, "the manager to say what is missing", func(context.Context) (bool, string, error) {
		return strings.Contains(ccm.Log(), "no address of node n1 is known yet"), "", nil
	})
	node, err := c.Client().CoreV1().Nodes().Get(ctx, "n1", metav1.GetOptions{})
	if err != nil || !tainted(node) {
		t.Errorf("a node without addresses has lost its taint: %v, %v", node.Spec, err)
	}
	report := fmt.Sprintf(`{"status":{"owned":0,"members":1,"interfaces":[{"name":"eth0","mac":"02:00:00:00:00:01","up":true,"defaultRoute":true,"addresses":["%s/24","%s/64"]}]}}`,
		c.Addr4("n1"), c.Addr6("n1"))
	if err := c.Apply(ctx, `{"apiVersion":"fairlead.dev/v1alpha1","kind":"Announcer","metadata":{"name":"n1"}}`); err != nil {
		t.Fatal(err)
	}
	if _, err := c.fairlead.FairleadV1alpha1().Announcers().Patch(ctx, "n1", types.MergePatchType, []byte(report), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	c.awaitNode(t, "n1", "to be initialised", func(node *corev1.Node) bool {
		return !tainted(node) && node.Labels[corev1.LabelTopologyZone] == "rack-1" && node.Labels[corev1.LabelTopologyRegion] == "here" &&
			slices.Contains(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: c.Addr4("n1").String()}) &&
			slices.Contains(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: c.Addr6("n1").String()})
	})
	secret, err := c.Client().CoreV1().Secrets("fairlead-system").Get(ctx, "fairlead-gossip", metav1.GetOptions{})
	if err != nil || string(secret.Data["key"]) != mine {
		t.Errorf("the operator's key became %q (%v)", secret.Data["key"], err)
	}
	t.Run("a label that leaves no announcer is told", func(t *testing.T) { labelLeavesNobody(newSpace(t, c)) })
	t.Run("only a node of ours that was said to be gone goes", func(t *testing.T) { onlyWhatIsGoneGoes(t, c, ccm) })
}

// silentNode makes a Node without a machine, and its Announcer, which belongs to it.
func (c *cloud) silentNode(t *testing.T, name, providerID string, edit func(*corev1.Node)) {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{ProviderID: providerID}}
	edit(node)
	node, err := c.Client().CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	announcer := &v1alpha1.Announcer{ObjectMeta: metav1.ObjectMeta{
		Name: name, OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: name, UID: node.UID}},
	}}
	if _, err := c.fairlead.FairleadV1alpha1().Announcers().Create(t.Context(), announcer, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// onlyWhatIsGoneGoes has three nodes that no kubelet reports of. One is another provider's, and of one nobody has said that
// it is gone; both were there before the third, so that the pass that finds the third has looked at them.
func onlyWhatIsGoneGoes(t *testing.T, c *cloud, ccm *lab.Process) {
	declare := func(node *corev1.Node) { node.Annotations = map[string]string{v1alpha1.DecommissionedKey: "true"} }
	c.silentNode(t, "silent", "fairlead://silent", func(*corev1.Node) {})
	c.silentNode(t, "foreign", "aws:///eu-1/i-1", func(node *corev1.Node) {
		declare(node)
		node.Spec.Taints = []corev1.Taint{{Key: cloudproviderapi.TaintExternalCloudProvider, Value: "true", Effect: corev1.TaintEffectNoSchedule}}
	})
	lab.Await(t.Context(), t, "the manager to leave the foreign node to its provider", func(context.Context) (bool, string, error) {
		return strings.Contains(ccm.Log(), `provider ID \"aws:///eu-1/i-1\"`), "", nil
	})
	c.silentNode(t, "gone", "fairlead://gone", declare)
	lab.Await(t.Context(), t, "the Node and then its Announcer to go", func(ctx context.Context) (bool, string, error) {
		node, err := c.Client().CoreV1().Nodes().Get(ctx, "gone", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return false, fmt.Sprintf("node: %v, %v", node.ObjectMeta, err), nil
		}
		announcer, err := c.fairlead.FairleadV1alpha1().Announcers().Get(ctx, "gone", metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprintf("announcer: %v, %v", announcer.ObjectMeta, err), nil
	})
	for _, name := range []string{"silent", "foreign"} {
		node, err := c.Client().CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || node.DeletionTimestamp != nil {
			t.Errorf("node %s: %v, %v", name, node.ObjectMeta, err)
		}
		if name == "foreign" && (!tainted(node) || len(node.Labels) > 0 || len(node.Status.Addresses) > 0) {
			t.Errorf("node %s was not left alone: %+v, %+v, %+v", name, node.Labels, node.Spec, node.Status.Addresses)
		}
		if _, err := c.fairlead.FairleadV1alpha1().Announcers().Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			t.Errorf("announcer %s: %v", name, err)
		}
	}
}

// labelLeavesNobody labels the only node as kubeadm labels control-plane nodes.
func labelLeavesNobody(s *space) {
	label := func(value string) {
		patch := []byte(fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, corev1.LabelNodeExcludeBalancers, value))
		if _, err := s.Client().CoreV1().Nodes().Patch(s.t.Context(), "n1", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			s.t.Fatal(err)
		}
	}
	label(`""`)
	first, _ := s.onSegment()
	s.service("web")
	s.awaitWarning("web", "nobody announces "+first.String(), corev1.LabelNodeExcludeBalancers, "(n1)", "nodes.excludeLabel")
	label("null")
	lab.Await(s.t.Context(), s.t, "the node to become a candidate", func(ctx context.Context) (bool, string, error) {
		vip, err := s.vip(ctx, first)
		if err != nil {
			return false, "", err
		}
		return slices.Equal(vip.Spec.Candidates, []string{"n1"}), fmt.Sprint(vip.Spec.Candidates), nil
	})
}

func TestMalformedCloudConfigStopsTheStart(t *testing.T) {
	t.Parallel()
	c := sharedCloud(t)
	const head = "apiVersion: config.fairlead.dev/v1alpha1\nkind: CloudConfig\n"
	for i, test := range []struct {
		name, config string
		want         []string
	}{
		{"unknown field", head + "nodez: {}\n", []string{"nodez"}},
		{"bad value", head + "nodes: {excludeLabel: maybe}\n", []string{"nodes.excludeLabel", "maybe", "Honor", "Ignore"}},
		{"no kind", "apiVersion: config.fairlead.dev/v1alpha1\n", []string{"kind", "CloudConfig"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := c.StartCCM(t.Context(), fmt.Sprintf("misconfigured-%d", i), lab.CCMOptions{CloudConfig: test.config})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Wait(t.Context()); err == nil {
				t.Error("it ended without an error")
			}
			if !hasAll(p.Log(), test.want) {
				t.Errorf("the log lacks one of %q:\n%s", test.want, p.Log())
			}
		})
	}
}
