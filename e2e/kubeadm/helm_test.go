// SPDX-License-Identifier: Apache-2.0

package kubeadm_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/e2e/kubeadm"
	"github.com/fairlead-io/fairlead/e2e/lab"
)

// newVersion makes the machine's manifests those of another version of Fairlead, in which an AddressPool has one more field.
const newVersion = `cp -rL manifests new
rm manifests
mv new manifests
for dir in manifests/crds manifests/charts/fairlead/files/crds; do
  sed -Ei 's/^( *)avoidEdges:$/\1purpose:\n\1  type: string\n&/' $dir/fairlead.dev_addresspools.yaml
  grep -q purpose: $dir/fairlead.dev_addresspools.yaml
done
`

// purposePool is an AddressPool with the new version's field.
const purposePool = `kubectl apply --validate=strict -f - <<'END'
apiVersion: fairlead.dev/v1alpha1
kind: AddressPool
metadata: {name: lab}
spec: {addresses: [198.51.100.0/24], autoAssign: false, purpose: tests}
END
`

// helm runs the chart's life on a cluster that has nothing of Fairlead but the definitions that kubectl made.
func (s *scenario) helm(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s.mustRun(ctx, t, "kubectl apply -k manifests/crds")
	for _, block := range s.take(t, "helm", "Definitions that kubectl made") {
		s.run(t, block)
	}
	for _, tag := range []string{"dev", "v2"} {
		s.fromRegistry(ctx, t, tag)
	}
	for _, block := range s.take(t, "helm", "Installing with Helm") {
		s.run(t, block)
	}
	s.mustRun(ctx, t, "kubectl apply -f manifests/examples/pool.yaml -f manifests/examples/service.yaml")
	s.awaitAnswer(t, lab.Client)
	s.checkImages(t, "dev")

	if out, err := s.Run(ctx, lab.ControlPlane, purposePool); err == nil {
		t.Errorf("a field that no version has was taken: %s", out)
	}
	s.mustRun(ctx, t, newVersion)
	for _, block := range s.take(t, "helm", "Upgrading") {
		s.run(t, block)
	}
	s.checkImages(t, "v2")
	s.mustRun(ctx, t, purposePool)
	await(t, "the changed cloud config to be heeded", func(ctx context.Context) (bool, string, error) {
		who, err := s.Kubectl(ctx, "get", "virtualip", "192.0.2.100", "-o", "jsonpath={.spec.nodeRules}")
		return err == nil && who == `{"leaveOnCordon":true}`, fmt.Sprint(who, err), nil
	})
	s.awaitAnswer(t, lab.Client)
	s.unhelm(ctx, t)
}

// unhelm uninstalls the release, which leaves what is the users', and then that.
func (s *scenario) unhelm(ctx context.Context, t *testing.T) {
	t.Helper()
	blocks := s.take(t, "helm", "Uninstalling")
	if len(blocks) != 2 {
		t.Fatalf("%d blocks, want one for the release and one for the rest", len(blocks))
	}
	s.run(t, blocks[0])
	left := s.mustRun(ctx, t, "helm list -A -q; kubectl get addresspools -o name; kubectl get deployments,daemonsets,secrets -n fairlead-system -o name; "+
		"kubectl get services -A -o jsonpath='{.items[*].metadata.finalizers}'")
	if want := "addresspool.fairlead.dev/lab\naddresspool.fairlead.dev/office\n"; left != want {
		t.Errorf("left by helm uninstall: %q, want %q", left, want)
	}
	// Helm compares with what is there before it says what it would do.
	s.mustRun(ctx, t, "helm install fairlead manifests/charts/fairlead -n fairlead-system --dry-run=server >/dev/null")
	s.run(t, blocks[1])
	s.checkUninstalled(t)
}

// mustRun runs a script on the control plane's machine.
func (s *scenario) mustRun(ctx context.Context, t *testing.T, script string) string {
	t.Helper()
	out, err := s.Run(ctx, lab.ControlPlane, script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// fromRegistry names the images of a tag as they are named in the registry that the document has. There is none to pull
// them from.
func (s *scenario) fromRegistry(ctx context.Context, t *testing.T, tag string) {
	t.Helper()
	for _, machine := range kubeadm.Machines() {
		if machine == "n2" { // which is gone
			continue
		}
		for _, name := range []string{"fairlead/cloud-controller-manager:", "fairlead/announcer:"} {
			if _, err := s.Run(ctx, machine, "ctr -n k8s.io images tag --force docker.io/"+name+tag+" registry.example.org/"+name+tag); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// checkImages checks that all pods of Fairlead run images of a tag from the registry.
func (s *scenario) checkImages(t *testing.T, tag string) {
	t.Helper()
	pods, err := s.Client().CoreV1().Pods("fairlead-system").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	running := 0
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp != nil {
			continue
		}
		running++
		if image := pod.Spec.Containers[0].Image; !strings.HasPrefix(image, "registry.example.org/") || !strings.HasSuffix(image, ":"+tag) {
			t.Errorf("pod %s runs %s", pod.Name, image)
		}
	}
	if running != 4 {
		t.Errorf("%d pods of 2 announcers and 2 managers", running)
	}
}
