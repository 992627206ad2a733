// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// failing has the health check of a Service fail on one node, which alone withdraws its routes; and then on all, which
// keep theirs.
func failing(t *testing.T, c *cloud, web addresses) {
	ctx := t.Context()
	pod, err := c.StartPod(ctx, lab.PodSpec{Name: "checked-n2", Node: "n2", Labels: app("checked")})
	must(t, err)
	addrs := c.service(t, "checked", app("checked"), checked)
	c.awaitHops(t, addrs, c.Nodes()...)
	c.awaitPassing(t)
	c.awaitHealthy(t, addrs, metav1.ConditionTrue, "pass on the nodes")

	heal := c.cutOff(t, "n1", addrs)
	c.awaitHops(t, addrs, "n2", "n3")
	c.awaitFailing(t, "n1", addrs, "no answer in time")
	c.awaitHops(t, web, c.Nodes()...)
	c.awaitHealthy(t, addrs, metav1.ConditionTrue, "fail on n1")
	clients := c.clients(t, addrs)
	for _, r := range c.routers {
		for _, addr := range addrs {
			c.awaitAnswers(t, r, addr, "checked-n2")
		}
	}
	heal()
	c.awaitPassing(t)
	c.awaitHops(t, addrs, c.Nodes()...)
	for _, x := range clients {
		x.end(t)
	}

	lost := c.watchLoss(t, addrs[0])
	pod.Process().Kill()
	for _, node := range c.Nodes() {
		c.awaitFailing(t, node, addrs, "connection refused")
	}
	c.awaitHealthy(t, addrs, metav1.ConditionFalse, "on every node", "connection refused")
	for _, addr := range addrs {
		c.awaitWarning(t, "checked", "HealthCheckFailsEverywhere", addr.String(), "connection refused")
	}
	c.awaitHops(t, addrs, c.Nodes()...)
	lost()
	c.unchecked(t, "checked", addrs)
	c.deleteService(t, "checked")
	c.awaitHops(t, addrs)
	must(t, c.DeletePod(ctx, pod))
}

// watchLoss returns a function that fails the test if a router has been without any route to an IPv4 address since. The
// verdicts of the nodes do not change at the same moment: single hops may go and come back.
func (c *cloud) watchLoss(t *testing.T, addr netip.Addr) (lost func()) {
	t.Helper()
	watches := map[string]*lab.RouteWatch{}
	for _, r := range c.routers {
		watch, err := c.WatchRoutes(r.host)
		must(t, err)
		t.Cleanup(watch.Stop)
		watches[r.peer] = watch
	}
	return func() {
		t.Helper()
		for peer, watch := range watches {
			changes, err := watch.Changes(netip.PrefixFrom(addr, addr.BitLen()))
			must(t, err)
			if slices.ContainsFunc(changes, func(change lab.RouteChange) bool { return change.Gone }) {
				t.Errorf("%s was without a route to %s: %+v", peer, addr, changes)
			}
		}
	}
}

// checked asks for an HTTP health check that is quick to judge.
func checked(s *corev1.Service) {
	for key, value := range map[string]string{
		"type": "http", "interval": "1", "timeout": "1", "healthy-threshold": "2", "unhealthy-threshold": "2",
	} {
		s.Annotations[settings.Prefix+"health-check-"+key] = value
	}
}

// cutOff keeps what a node itself sends to the addresses, or forwards for them, from all endpoints.
func (c *cloud) cutOff(t *testing.T, node string, addrs addresses) (heal func()) {
	t.Helper()
	_, err := c.Exec(t.Context(), node, "nft", fmt.Sprintf(`add table inet fault
add chain inet fault post { type filter hook postrouting priority 50; }
add rule inet fault post ct original ip daddr %s drop
add rule inet fault post ct original ip6 daddr %s drop`, addrs[0], addrs[1]))
	must(t, err)
	return func() {
		_, err := c.Exec(t.Context(), node, "nft", "delete table inet fault")
		must(t, err)
	}
}

// awaitPassing waits until all nodes say that they probe both addresses of a Service, and that nothing fails.
func (c *cloud) awaitPassing(t *testing.T) {
	t.Helper()
	lab.Await(t.Context(), t, "health checks to pass on all nodes", func(ctx context.Context) (bool, string, error) {
		list, err := c.fairlead.FairleadV1alpha1().Announcers().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", err
		}
		var detail []string
		passing := 0
		for i := range list.Items {
			h := list.Items[i].Status.HealthChecks
			detail = append(detail, fmt.Sprintf("%s: %+v", list.Items[i].Name, h))
			if h != nil && h.Running == 2 && h.Failing == 0 && len(h.Failed) == 0 {
				passing++
			}
		}
		return passing == len(c.Nodes()), strings.Join(detail, ", "), nil
	})
}

// awaitHealthy waits until the condition Healthy of both addresses has a status and all words in its message.
func (c *cloud) awaitHealthy(t *testing.T, addrs addresses, want metav1.ConditionStatus, words ...string) {
	t.Helper()
	for _, addr := range addrs {
		lab.Await(t.Context(), t, fmt.Sprintf("Healthy=%s of %s with %q", want, addr, words), func(ctx context.Context) (bool, string, error) {
			vip, err := c.fairlead.FairleadV1alpha1().VirtualIPs().Get(ctx, ipam.ObjectName(addr), metav1.GetOptions{})
			if err != nil {
				return false, "", err
			}
			healthy := meta.FindStatusCondition(vip.Status.Conditions, v1alpha1.ConditionHealthy)
			if healthy == nil || healthy.Status != want {
				return false, fmt.Sprintf("%+v", vip.Status), nil
			}
			return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(healthy.Message, w) }), healthy.Message, nil
		})
	}
}

// unchecked takes the health check of a Service away: nothing is left that tells of it.
func (c *cloud) unchecked(t *testing.T, service string, addrs addresses) {
	t.Helper()
	_, err := c.Client().CoreV1().Services("default").Patch(t.Context(), service, types.MergePatchType,
		[]byte(`{"metadata":{"annotations":null}}`), metav1.PatchOptions{})
	must(t, err)
	for _, addr := range addrs {
		lab.Await(t.Context(), t, "no condition Healthy of "+addr.String(), func(ctx context.Context) (bool, string, error) {
			vip, err := c.fairlead.FairleadV1alpha1().VirtualIPs().Get(ctx, ipam.ObjectName(addr), metav1.GetOptions{})
			return err == nil && meta.FindStatusCondition(vip.Status.Conditions, v1alpha1.ConditionHealthy) == nil, fmt.Sprintf("%+v", vip), err
		})
	}
}

// awaitFailing waits until a node says that the health checks of both addresses fail, and why.
func (c *cloud) awaitFailing(t *testing.T, node string, addrs addresses, why string) {
	t.Helper()
	lab.Await(t.Context(), t, fmt.Sprintf("the health checks of %v to fail on %s", addrs, node), func(ctx context.Context) (bool, string, error) {
		a, err := c.fairlead.FairleadV1alpha1().Announcers().Get(ctx, node, metav1.GetOptions{})
		if err != nil || a.Status.HealthChecks == nil {
			return false, "there are none", err
		}
		failed := map[string]bool{}
		for _, f := range a.Status.HealthChecks.Failed {
			failed[f.Address] = f.Service == "default/checked" && strings.Contains(f.Message, why)
		}
		return !slices.ContainsFunc(addrs[:], func(a netip.Addr) bool { return !failed[a.String()] }), fmt.Sprintf("%+v", *a.Status.HealthChecks), nil
	})
}

// awaitWarning waits for a warning about a Service that has the reason, and all words in its text.
func (c *cloud) awaitWarning(t *testing.T, service, reason string, words ...string) {
	t.Helper()
	lab.Await(t.Context(), t, fmt.Sprintf("the warning %s about %s with %q", reason, service, words), func(ctx context.Context) (bool, string, error) {
		events, err := c.Client().CoreV1().Events("default").List(ctx, metav1.ListOptions{
			FieldSelector: "involvedObject.name=" + service + ",type=" + corev1.EventTypeWarning,
		})
		if err != nil {
			return false, "", err
		}
		var texts []string
		for i := range events.Items {
			e := &events.Items[i]
			texts = append(texts, e.Reason+": "+e.Message)
			if e.Reason == reason && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(e.Message, w) }) {
				return true, "", nil
			}
		}
		return false, strings.Join(texts, "\n"), nil
	})
}
