// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cloud-provider/service/helpers"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// patch changes a Service, or its status.
func (s *space) patch(name, text string, subresources ...string) {
	s.t.Helper()
	_, err := s.Client().CoreV1().Services(s.namespace).Patch(s.t.Context(), name, types.MergePatchType, []byte(text),
		metav1.PatchOptions{}, subresources...)
	if err != nil {
		s.t.Fatal(err)
	}
}

// loseVIP deletes a VirtualIP by hand, and waits until there is another one of the same Service.
func (s *space) loseVIP(addr netip.Addr, owner string) {
	s.t.Helper()
	had := s.wantVIP(addr)
	if err := s.fairlead.FairleadV1alpha1().VirtualIPs().Delete(s.t.Context(), had.Name, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
	lab.Await(s.t.Context(), s.t, "another VirtualIP "+had.Name, func(ctx context.Context) (bool, string, error) {
		vip, err := s.vip(ctx, addr)
		return err == nil && vip.UID != had.UID && vip.Spec.Services[0].Name == owner, fmt.Sprint(vip, err), nil
	})
}

// TestWhatTheStockControllerMissesHeals runs the manager without the stock service controller, whose retries would heal
// some of it too, though later: whatever comes right here is the level-triggered controller's doing. That serves Services
// of our class by itself, with the function that it heals all others with.
func TestWhatTheStockControllerMissesHeals(t *testing.T) {
	c := ownCloud(t, lab.Config{Nodes: 1})
	manager := c.startCCM(t, "ccm", "--leader-elect=false", "--controllers=fairlead-controller")
	s := newSpace(t, c)

	waiting := s.service("a", ofClass(v1alpha1.LoadBalancerClass))
	s.awaitWarning("a", "no pool offers IPv4")
	s.pool("p", []string{s.v4(10).String()})
	s.awaitAddresses("a", s.v4(10))
	now, err := s.get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if !helpers.HasLBFinalizer(now) {
		t.Errorf("an address without the finalizer: %v", now.Finalizers)
	}
	if now.Generation != waiting.Generation {
		t.Errorf("somebody touched the Service: generation %d, was %d", now.Generation, waiting.Generation)
	}

	s.patch("a", `{"status":{"loadBalancer":{"ingress":null}}}`, "status")
	s.awaitAddresses("a", s.v4(10))

	s.patch("a", `{"metadata":{"finalizers":null}}`)
	lab.Await(t.Context(), t, "the finalizer", func(ctx context.Context) (bool, string, error) {
		service, err := s.get(ctx, "a")
		return err == nil && helpers.HasLBFinalizer(service), fmt.Sprint(err), nil
	})

	// A VirtualIP that somebody deletes comes back, and nobody who waits gets its address.
	s.service("b", ofClass(v1alpha1.LoadBalancerClass))
	s.awaitWarning("b", "full, 1 of 1")
	s.loseVIP(s.v4(10), "a")
	s.wantAddresses("a", s.v4(10))
	s.wantAddresses("b")

	// A Service that goes without anybody's leave.
	manager.Pause()
	if err := s.Client().CoreV1().Services(s.namespace).Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.patch("a", `{"metadata":{"finalizers":null}}`)
	manager.Resume()
	s.awaitAddresses("b", s.v4(10))

	if strings.Contains(manager.Log(), "Starting service controller") {
		t.Error("the stock service controller was running")
	}
}
