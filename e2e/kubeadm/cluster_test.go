// SPDX-License-Identifier: Apache-2.0

package kubeadm_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/e2e/kubeadm"
	"github.com/fairlead-io/fairlead/e2e/lab"
)

// TestDocumentedSteps runs what docs/kubeadm.md, docs/install.md, docs/uninstall.md and docs/helm.md tell people to run. It checks what
// comes of each step, that no step is left over, and that nothing stays behind on the machine.
func TestDocumentedSteps(t *testing.T) {
	root, err := lab.FindRoot()
	if err != nil {
		t.Fatal(err)
	}
	s := &scenario{documents: map[string]*kubeadm.Document{}, images: map[string]chan []string{}}
	before := hostState(t)
	t.Cleanup(func() { // once the cluster is gone
		if diff := cmp.Diff(before, hostState(t)); diff != "" {
			t.Errorf("the machine that the cluster ran on (-before +after):\n%s", diff)
		}
		if s.Cluster != nil {
			s.checkGone(t)
		}
	})
	s.Cluster = kubeadm.ForTest(t, kubeadm.Config{Root: root, Progress: os.Stdout})
	s.buildImages(t, root, "dev")
	for _, name := range []string{"install", "uninstall", "helm"} {
		if s.documents[name], err = kubeadm.ReadDocument(root, filepath.Join("docs", name+".md")); err != nil {
			t.Fatal(err)
		}
	}
	if s.documents["kubeadm"], err = s.Up(t.Context(), s.joinEdit); err != nil {
		t.Fatal(err)
	}
	s.checkBefore(t)
	s.timed(t, "images on the nodes", func(t *testing.T) {
		s.copyImages(t, "dev")
		for _, block := range s.take(t, "kubeadm", "Images without a registry") {
			s.run(t, block)
		}
	})
	s.buildImages(t, root, "v2")
	s.timed(t, "Fairlead installed", s.install)
	s.timed(t, "nodes initialised", s.initialised)
	s.timed(t, "a Service reached from outside", s.service)
	s.timed(t, "a node without the flag moved over", s.moveOver)
	s.timed(t, "a new version rolled out", s.upgrade)
	s.timed(t, "a node drained and rebooted", s.reboot)
	s.timed(t, "a node removed, and one only cut off", s.remove)
	s.timed(t, "uninstalled", s.uninstall)
	s.timed(t, "installed, upgraded and uninstalled with Helm", s.helm)
	for name, document := range s.documents {
		for _, block := range document.Left() {
			t.Errorf("docs/%s.md: nothing has run the block: %s", name, block)
		}
	}
}

// joinEdit makes the workers differ: n1 joins as to a cluster without a cloud provider, n2 without naming its addresses.
func (s *scenario) joinEdit(worker, config string) string {
	config = s.OwnAddresses(worker, config)
	switch worker {
	case "n1":
		return without(config, "cloud-provider")
	case "n2":
		return without(config, "node-ip")
	}
	return config
}

// without takes a kubelet argument out.
func without(config, argument string) string {
	return regexp.MustCompile(`(?ms)^\s+- name: `+argument+`\n\s+value: [^\n]*\n|^\s+- \{name: `+argument+`,[^\n]*\n`).ReplaceAllString(config, "")
}

// checkBefore holds the cluster to what it has to be for what follows to mean anything.
func (s *scenario) checkBefore(t *testing.T) {
	t.Helper()
	for name, want := range map[string]struct {
		tainted   bool
		addresses []string
	}{
		"cp": {true, []string{"192.0.2.10", "2001:db8::10"}},
		"n1": {false, []string{"192.0.2.11", "2001:db8::11"}},
		"n2": {true, nil},
	} {
		node := s.node(t, name)
		if tainted(node) != want.tainted || !slices.Equal(internal(node), want.addresses) || node.Spec.ProviderID != "" {
			t.Fatalf("node %s before the installation: taints %v, addresses %v, provider ID %q; want tainted %t, addresses %v",
				name, node.Spec.Taints, node.Status.Addresses, node.Spec.ProviderID, want.tainted, want.addresses)
		}
	}
}

func (s *scenario) install(t *testing.T) {
	for _, block := range s.take(t, "install", "2. The API server's real address") {
		s.run(t, block)
	}
	blocks := s.take(t, "install", "3. Fairlead")
	if len(blocks) != 2 {
		t.Fatalf("%d blocks, want one that makes the overlay and one that applies it", len(blocks))
	}
	s.run(t, blocks[0])
	s.mustRun(t.Context(), t, "cat >>fairlead/cloud-config.yaml <<'END'\n"+zones+"END\n")
	s.run(t, blocks[1])
}

// initialised checks the nodes that joined with the flag, and that nothing was done to the one that did not.
func (s *scenario) initialised(t *testing.T) {
	for name, want := range map[string]struct{ zone, region, addresses string }{
		"cp": {"office", "here", "192.0.2.10 2001:db8::10"},
		"n2": {"rack-2", "there", "192.0.2.12 2001:db8::12"}, // from the announcer's report
	} {
		node := s.awaitNode(t, name, "initialised", func(node *corev1.Node) bool {
			return !tainted(node) && ready(node) && strings.Join(internal(node), " ") == want.addresses
		})
		got := struct{ zone, region, addresses string }{
			node.Labels[corev1.LabelTopologyZone], node.Labels[corev1.LabelTopologyRegion], want.addresses,
		}
		if got != want {
			t.Errorf("node %s has %+v, want %+v", name, got, want)
		}
		if id := "fairlead://" + strings.ToLower(node.Status.NodeInfo.SystemUUID); node.Spec.ProviderID != id || len(id) < 20 {
			t.Errorf("node %s has provider ID %q, want %q", name, node.Spec.ProviderID, id)
		}
	}
	if node := s.node(t, "n1"); node.Spec.ProviderID != "" || node.Labels[corev1.LabelTopologyZone] != "" {
		t.Errorf("node n1, which never had the taint, has provider ID %q and labels %v", node.Spec.ProviderID, node.Labels)
	}
	if _, err := s.Kubectl(t.Context(), "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=300s"); err != nil {
		t.Error(err)
	}
}

func (s *scenario) service(t *testing.T) {
	ctx := t.Context()
	script := "cat >backends.yaml <<'END'\n" + backends + "END\nkubectl apply -f backends.yaml\n" +
		"kubectl rollout status deployment/web --timeout=300s\n"
	if _, err := s.Run(ctx, lab.ControlPlane, script); err != nil {
		t.Fatal(err)
	}
	for _, block := range s.take(t, "install", "4. A pool and a Service") {
		s.run(t, block)
	}
	client := s.Client()
	await(t, "the Service to get an address", func(ctx context.Context) (bool, string, error) {
		service, err := client.CoreV1().Services("default").Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		ingress := service.Status.LoadBalancer.Ingress
		return len(ingress) == 1 && ingress[0].IP == "192.0.2.100", fmt.Sprint(ingress), nil
	})
	for _, from := range []string{lab.Client, lab.Far} {
		s.awaitAnswer(t, from)
	}
}

// address is where the Service is, for clients.
const address = "http://192.0.2.100/"

func (s *scenario) awaitAnswer(t *testing.T, from string) {
	t.Helper()
	await(t, "host "+from+" to reach the Service", func(ctx context.Context) (bool, string, error) {
		answer, err := s.Ask(ctx, from, address)
		return err == nil && answer.Pod != "", fmt.Sprint(answer, err), nil
	})
}

// moveOver has the node initialised that joined without the flag. Its pods must not notice.
func (s *scenario) moveOver(t *testing.T) {
	if lacks := s.lacking(t); !strings.Contains(lacks, "n1: has no providerID") || strings.Contains(lacks, "n2:") {
		t.Errorf("kubectl fairlead says that nodes lack:\n%s", lacks)
	}
	pods := s.podsOn(t, "n1")
	for _, block := range s.take(t, "kubeadm", "A cluster that exists already") {
		s.run(t, block)
	}
	node := s.awaitNode(t, "n1", "initialised", func(node *corev1.Node) bool { return !tainted(node) && node.Spec.ProviderID != "" })
	if zone := node.Labels[corev1.LabelTopologyZone]; zone != "rack-1" {
		t.Errorf("node n1 is in zone %q", zone)
	}
	if diff := cmp.Diff([]string{"192.0.2.11", "2001:db8::11"}, internal(node)); diff != "" {
		t.Errorf("the addresses of node n1 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(pods, s.podsOn(t, "n1")); diff != "" {
		t.Errorf("the pods of node n1 (-before +after):\n%s", diff)
	}
	if lacks := s.lacking(t); strings.Contains(lacks, "providerID") {
		t.Errorf("kubectl fairlead still says that nodes lack:\n%s", lacks)
	}
}

// lacking returns what kubectl fairlead finds wrong with nodes, which is why it may exit with 2.
func (s *scenario) lacking(t *testing.T) string {
	t.Helper()
	out, err := s.Run(t.Context(), lab.ControlPlane, "kubectl fairlead nodes || [ $? -eq 2 ]")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// podsOn returns the pods on a node and how often their containers were started again.
func (s *scenario) podsOn(t *testing.T, node string) map[string]int32 {
	t.Helper()
	list, err := s.Client().CoreV1().Pods("").List(t.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	if err != nil {
		t.Fatal(err)
	}
	pods := map[string]int32{}
	for _, pod := range list.Items {
		for _, status := range pod.Status.ContainerStatuses {
			pods[pod.Namespace+"/"+pod.Name+"/"+status.Name] = status.RestartCount
		}
	}
	return pods
}

// probing runs f while a client outside the cluster asks 20 times a second; no request may fail.
func (s *scenario) probing(t *testing.T, during string, f func()) {
	t.Helper()
	probe, err := s.ProbeHTTP(t.Context(), lab.Client, address, lab.ProbeOptions{Interval: 50 * time.Millisecond, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	f()
	attempts := probe.Stop()
	fmt.Printf("kubeadm:           during %s: %d requests, %d failed, longest gap %s\n",
		during, len(attempts), attempts.Failures(), attempts.LongestGap().Round(time.Millisecond))
	if len(attempts) == 0 {
		t.Fatalf("nothing was asked during %s", during)
	}
	for _, attempt := range attempts {
		if !attempt.OK {
			t.Errorf("during %s a request failed after %s: %s", during, attempt.End.Sub(attempt.Start), attempt.Err)
		}
	}
}

func (s *scenario) upgrade(t *testing.T) {
	s.copyImages(t, "v2")
	for _, machine := range kubeadm.Machines() {
		for _, name := range []string{"cloud-controller-manager", "announcer"} {
			archives, err := filepath.Glob(filepath.Join(s.Home(machine), name+"-linux-*.tar"))
			if err != nil || len(archives) != 1 {
				t.Fatalf("archives of %s: %v, %v", name, archives, err)
			}
			if err := s.ImportImage(t.Context(), machine, archives[0]); err != nil {
				t.Fatal(err)
			}
		}
	}
	blocks := s.take(t, "kubeadm", "A new version of Fairlead")
	s.probing(t, "the rolling update", func() {
		for _, block := range blocks {
			s.run(t, block)
		}
	})
	pods, err := s.Client().CoreV1().Pods("fairlead-system").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	updated := 0
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil && strings.HasSuffix(pod.Spec.Containers[0].Image, ":v2") {
			updated++
		}
	}
	if updated != 5 {
		t.Errorf("%d pods of 3 announcers and 2 managers run the new version", updated)
	}
	config := s.mustRun(t.Context(), t, "kubectl -n fairlead-system get configmap fairlead-cloud-config -o yaml")
	if !strings.Contains(config, zones) {
		t.Errorf("the cloud config is not what it was before the update:\n%s", config)
	}
}

// reboot drains n1, switches it off and on, and takes it back in.
func (s *scenario) reboot(t *testing.T) {
	blocks := s.take(t, "kubeadm", "A node is rebooted")
	if len(blocks) != 2 {
		t.Fatalf("%d blocks, want one before the reboot and one after", len(blocks))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s.probing(t, "drain and reboot", func() {
		s.run(t, blocks[0])
		s.checkEmpty(ctx, t, "n1")
		if err := s.PowerOff(ctx, "n1"); err != nil {
			t.Fatal(err)
		}
		off := time.Now()
		if err := s.PowerOn(ctx, "n1"); err != nil {
			t.Fatal(err)
		}
		if err := s.ConnectPods(ctx, "n1"); err != nil {
			t.Fatal(err)
		}
		s.awaitStarted(t, "n1", off)
		s.run(t, blocks[1])
	})
}

// awaitStarted waits until all containers on a node have been started after a moment, and are ready. Until the kubelet is
// back, the status of pods is that of before the reboot.
func (s *scenario) awaitStarted(t *testing.T, node string, after time.Time) {
	t.Helper()
	client := s.Client()
	await(t, "the pods on "+node+" to be started again", func(ctx context.Context) (bool, string, error) {
		pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
		if err != nil {
			return false, err.Error(), nil //nolint:nilerr // the API server may be away for a moment
		}
		for _, pod := range pods.Items {
			for _, status := range pod.Status.ContainerStatuses {
				running := status.State.Running
				if !status.Ready || running == nil || running.StartedAt.Time.Before(after.Truncate(time.Second)) {
					return false, fmt.Sprintf("pod %s: %+v", pod.Name, status.State), nil
				}
			}
		}
		return len(pods.Items) > 0, "there is none", nil
	})
}

// awaitOwner waits until the node that announces the Service's address is one that f takes.
func (s *scenario) awaitOwner(t *testing.T, what string, f func(node string) bool) {
	t.Helper()
	await(t, "the owner of the address to be "+what, func(ctx context.Context) (bool, string, error) {
		owner, err := s.Kubectl(ctx, "get", "virtualip", "192.0.2.100", "-o", "jsonpath={.status.node}")
		return err == nil && f(owner), fmt.Sprintf("it is %q, %v", owner, err), nil
	})
}

// checkEmpty checks that a node has handed over all its addresses, so that it may be switched off. The count of its
// Announcer says so some seconds later.
func (s *scenario) checkEmpty(ctx context.Context, t *testing.T, node string) {
	t.Helper()
	owned, err := s.Kubectl(ctx, "get", "virtualips", "-o", fmt.Sprintf(`jsonpath={.items[?(@.status.node==%q)].metadata.name}`, node))
	if err != nil || owned != "" {
		t.Errorf("node %s is about to be switched off and announces %q, %v", node, owned, err)
	}
	await(t, node+" to count no address of its own", func(ctx context.Context) (bool, string, error) {
		count, err := s.Kubectl(ctx, "get", "announcer", node, "-o", "jsonpath={.status.owned}")
		return err == nil && count == "0", fmt.Sprintf("%q, %v", count, err), nil
	})
}

// remove takes n2, which has the address, out for good, and cuts n1 off. Only the Node that was said to be gone may go.
func (s *scenario) remove(t *testing.T) {
	blocks := s.take(t, "kubeadm", "A node is gone for good")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, gone := s.Client(), s.node(t, "n2")
	s.awaitOwner(t, "n2", func(owner string) bool { return owner == "n2" })
	s.probing(t, "the removal of a node", func() {
		for _, block := range blocks {
			s.run(t, block)
		}
		if node := s.node(t, "n2"); !ready(node) {
			t.Fatalf("node n2 is not ready before it is switched off: %v", node.Status.Conditions)
		}
		s.checkEmpty(ctx, t, "n2")
		if err := s.PowerOff(ctx, "n2"); err != nil {
			t.Fatal(err)
		}
		// Taken back, the word keeps the Node until n1 is cut off too.
		s.mustRun(ctx, t, "kubectl annotate node n2 fairlead.dev/decommissioned-")
		s.awaitNode(t, "n2", "not ready", notReady)
	})
	if err := s.CutLink("n1"); err != nil {
		t.Fatal(err)
	}
	s.awaitNode(t, "n1", "not ready", notReady)
	s.mustRun(ctx, t, "kubectl annotate node n2 fairlead.dev/decommissioned=true")
	await(t, "Node n2 to be deleted", func(ctx context.Context) (bool, string, error) {
		_, err := client.CoreV1().Nodes().Get(ctx, "n2", metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprint(err), nil
	})
	await(t, "Announcer n2 to go with its Node, and no other", func(ctx context.Context) (bool, string, error) {
		left, err := s.Kubectl(ctx, "get", "announcers", "-o", "jsonpath={.items[*].metadata.name}")
		return err == nil && left == "cp n1", fmt.Sprint(left, err), nil
	})
	// The same pass over all nodes that deleted n2 has looked at n1.
	if node := s.node(t, "n1"); ready(node) || node.DeletionTimestamp != nil {
		t.Errorf("node n1, which is only cut off: %+v", node.ObjectMeta)
	}
	if err := s.DisconnectPods(gone); err != nil {
		t.Fatal(err)
	}
	if err := s.RestoreLink("n1"); err != nil {
		t.Fatal(err)
	}
	s.awaitNode(t, "n1", "ready", ready)
	s.awaitAnswer(t, lab.Client)
}

// uninstall checks that nothing of Fairlead is left, and nothing waits for it.
func (s *scenario) uninstall(t *testing.T) {
	for _, section := range []string{"Uninstalling", "Services that keep the finalizer"} {
		for _, block := range s.take(t, "uninstall", section) {
			s.run(t, block)
		}
	}
	s.checkUninstalled(t)
}

func (s *scenario) checkUninstalled(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, absent := range [][]string{
		{"get", "namespace", "fairlead-system", "--ignore-not-found", "-o", "name"},
		{"get", "services", "--all-namespaces", "-o", `jsonpath={range .items[?(@.metadata.finalizers)]}{.metadata.name}{"\n"}{end}`},
		{"get", "crds", "-o", `jsonpath={range .items[?(@.spec.group=="fairlead.dev")]}{.metadata.name}{"\n"}{end}`},
		{"get", "clusterroles,clusterrolebindings,validatingadmissionpolicies", "-l", "app.kubernetes.io/part-of=fairlead", "-o", "name"},
	} {
		out, err := s.Kubectl(ctx, absent...)
		if err != nil || strings.TrimSpace(out) != "" {
			t.Errorf("kubectl %s: %q, %v", strings.Join(absent, " "), out, err)
		}
	}
	if node := s.node(t, "cp"); node.Spec.ProviderID == "" || tainted(node) {
		t.Errorf("node cp has lost what it had: %+v", node.Spec)
	}
}
