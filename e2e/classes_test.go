// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cloud-provider/service/helpers"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

func ofClass(class string) edit {
	return func(service *corev1.Service) { service.Spec.LoadBalancerClass = &class }
}

// noBalancer makes a Service one that is no LoadBalancer any more.
func noBalancer(service *corev1.Service) {
	service.Spec.Type = corev1.ServiceTypeClusterIP
	service.Spec.AllocateLoadBalancerNodePorts = nil
	service.Spec.LoadBalancerClass = nil
	service.Spec.ExternalTrafficPolicy = ""
}

func (s *space) get(ctx context.Context, name string) (*corev1.Service, error) {
	return s.Client().CoreV1().Services(s.namespace).Get(ctx, name, metav1.GetOptions{})
}

// awaitUntouched waits until a Service has neither our finalizer nor addresses.
func (s *space) awaitUntouched(name string) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, "Service "+name+" to be left alone", func(ctx context.Context) (bool, string, error) {
		service, err := s.get(ctx, name)
		if err != nil {
			return false, "", err
		}
		return !helpers.HasLBFinalizer(service) && len(service.Status.LoadBalancer.Ingress) == 0,
			fmt.Sprintf("finalizers %v, status %+v", service.Finalizers, service.Status.LoadBalancer), nil
	})
}

// events returns the reasons of all of Fairlead's events about a Service.
func (s *space) events(name string) []string {
	s.t.Helper()
	events, err := s.Client().CoreV1().Events(s.namespace).List(s.t.Context(), metav1.ListOptions{
		FieldSelector: fields.Set{"involvedObject.name": name, "involvedObject.kind": "Service"}.String(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	var reasons []string
	for i := range events.Items {
		if event := &events.Items[i]; byFairlead(event) {
			reasons = append(reasons, event.Reason)
		}
	}
	return reasons
}

func TestServiceOfOwnClass(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{s.v4(10).String()})
	s.service("a", ofClass(v1alpha1.LoadBalancerClass))
	s.awaitAddresses("a", s.v4(10))
	made, err := s.get(t.Context(), "a")
	if err != nil || !helpers.HasLBFinalizer(made) {
		t.Fatalf("finalizers %v: an address that stands in the status is one that a deletion gives back (%v)", made.Finalizers, err)
	}

	// What somebody takes away comes back.
	_, err = s.Client().CoreV1().Services(s.namespace).Patch(t.Context(), "a", types.MergePatchType,
		[]byte(`{"status":{"loadBalancer":null}}`), metav1.PatchOptions{}, "status")
	if err != nil {
		t.Fatal(err)
	}
	s.awaitAddresses("a", s.v4(10))

	// A Service that waits has no finalizer, and gets the address with the deletion of the other.
	s.service("b", ofClass(v1alpha1.LoadBalancerClass))
	s.awaitWarning("b", "full, 1 of 1")
	s.awaitUntouched("b")
	s.deleteService("a")
	s.awaitAddresses("b", s.v4(10))

	// With the type goes the class, and with both the address.
	s.editService("b", noBalancer)
	s.awaitNoVIP(s.v4(10))
	s.awaitUntouched("b")
}

func TestServicesOfOthersAreLeftWithoutATrace(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{span(s.v4(10), s.v4(20))})
	others := map[string]edit{
		"class":      ofClass("example.com/other"),
		"annotation": annotated(v1alpha1.ElsewhereKey, "other"),
	}
	for name, mine := range others {
		// Their controllers use the finalizer that everybody uses.
		s.service(name, mine, func(service *corev1.Service) { service.Finalizers = []string{helpers.LoadBalancerCleanupFinalizer} })
		s.service(name+"-plain", mine)
	}
	s.service("ours")
	s.awaitAddresses("ours", s.v4(10))
	for name := range others {
		if err := s.Client().CoreV1().Services(s.namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	s.deleteService("ours") // and by now, what is not left alone is deleted too
	for name := range others {
		kept, err := s.get(t.Context(), name)
		if err != nil {
			t.Errorf("Service %s lost the finalizer of another controller: %v", name, err)
			continue
		}
		for _, one := range []string{name, name + "-plain"} {
			if events := s.events(one); len(events) > 0 {
				t.Errorf("Service %s has events %v, want none of ours", one, events)
			}
		}
		s.awaitUntouched(name + "-plain")
		released := kept.DeepCopy()
		released.Finalizers = nil
		if _, err := helpers.PatchService(s.Client().CoreV1(), kept, released); err != nil {
			t.Error(err)
		}
	}
}

// The annotation counts from the start only: who has an address keeps it, and gives it back.
func TestServiceKeepsItsAddressWhenItIsGivenToAnother(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{s.v4(10).String()})
	s.service("a")
	s.awaitAddresses("a", s.v4(10))
	s.editService("a", annotated(v1alpha1.ElsewhereKey, "other"))
	s.service("b")
	s.awaitWarning("b", "full, 1 of 1")
	s.loseVIP(s.v4(10), "a")
	s.wantAddresses("a", s.v4(10))
	s.deleteService("a")
	s.awaitAddresses("b", s.v4(10))
}

// A Service that waits is another controller's as soon as the annotation says so. The stock controller tries it once more.
func TestServiceThatWaitsIsGivenToAnother(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{s.v4(10).String()})
	s.service("a")
	s.awaitAddresses("a", s.v4(10))
	s.service("b")
	s.awaitWarning("b", "Error syncing load balancer", "full, 1 of 1")
	count := func(reason string) (n int32) {
		events, err := s.Client().CoreV1().Events(s.namespace).List(t.Context(), metav1.ListOptions{
			FieldSelector: fields.Set{"involvedObject.name": "b", "reason": reason}.String(),
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range events.Items {
			n += events.Items[i].Count
		}
		return n
	}
	tried, failed := count("EnsuringLoadBalancer"), count("SyncLoadBalancerFailed")
	s.editService("b", annotated(v1alpha1.ElsewhereKey, "other"))
	s.patch("b", `{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.9"}]}}}`, "status")
	lab.Await(t.Context(), t, "another try", func(context.Context) (bool, string, error) {
		now := count("EnsuringLoadBalancer")
		return now > tried, fmt.Sprint(now), nil
	})
	s.deleteService("a")
	s.service("c")
	s.awaitAddresses("c", s.v4(10))
	s.wantAddresses("b", netip.MustParseAddr("203.0.113.9"))
	if b, err := s.get(t.Context(), "b"); err != nil || helpers.HasLBFinalizer(b) {
		t.Errorf("finalizers %v (%v), want none of ours", b.Finalizers, err)
	}
	if now := count("SyncLoadBalancerFailed"); now > failed {
		t.Error("it was pursued after it was given away, and is told so")
	}
}

// Beside the cloud controller manager of another cloud, Fairlead serves the Services of its class, or all of them.
func TestBesideAnotherCloud(t *testing.T) {
	c := ownCloud(t, lab.Config{Nodes: 1})
	ctx := t.Context()
	if err := c.Build(ctx, "./e2e/lab/cmd/othercloud"); err != nil {
		t.Fatal(err)
	}
	other, err := c.StartProcess(lab.ControlPlane, lab.Command{
		Name: "othercloud", Path: c.Program("othercloud"), Args: []string{
			"--kubeconfig", c.Kubeconfig(), "--authentication-kubeconfig", c.Kubeconfig(), "--authorization-kubeconfig", c.Kubeconfig(),
			"--secure-port", "10300", "--webhook-secure-port", "0", "--configure-cloud-routes=false",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	fairlead, err := c.StartCCM(ctx, "class-only", lab.CCMOptions{ExtraArgs: []string{"--controllers=fairlead-controller", "--leader-elect=false"}})
	if err != nil {
		t.Fatal(err)
	}
	s := newSpace(t, c)
	s.pool("p", []string{span(s.v4(10), s.v4(20))})
	theirs := netip.MustParseAddr("203.0.113.9")
	s.service("theirs")
	s.service("ours", ofClass(v1alpha1.LoadBalancerClass))
	s.awaitAddresses("theirs", theirs)
	s.awaitAddresses("ours", s.v4(10))
	c.awaitNode(t, "n1", "to be the other cloud's", func(node *corev1.Node) bool {
		return !tainted(node) && node.Spec.ProviderID == "other://n1"
	})
	s.editService("ours", noBalancer)
	s.awaitNoVIP(s.v4(10))
	s.awaitUntouched("ours")
	s.deleteService("theirs")

	// The other one keeps the nodes, and Fairlead takes all Services.
	for _, process := range []*lab.Process{other, fairlead} {
		process.Kill()
	}
	_, err = c.StartCCM(ctx, "services-only", lab.CCMOptions{ExtraArgs: []string{
		"--controllers=service-lb-controller,fairlead-controller", "--leader-elect=false",
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.service("plain")
	s.awaitAddresses("plain", s.v4(10))
	node, err := c.Client().CoreV1().Nodes().Get(ctx, "n1", metav1.GetOptions{})
	if err != nil || !strings.HasPrefix(node.Spec.ProviderID, "other://") {
		t.Errorf("the node is %q (%v), want the other cloud's still", node.Spec.ProviderID, err)
	}
}
