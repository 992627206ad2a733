// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
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

// TestHealthAndAccess runs on one lab: each of its tests leaves three announcers and a manager running.
func TestHealthAndAccess(t *testing.T) {
	c := ownCloud(t, lab.Config{})
	c.ccm = c.startCCM(t, "ccm", "--leader-elect=false")
	if err := c.StartAnnouncers(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.awaitMembers(t)
	for _, test := range []struct {
		name string
		run  func(*space)
	}{
		{"a node that fails its health check gives the address away", failingNodeGivesTheAddressAway},
		{"an address that fails everywhere stays", failingEverywhereStays},
		{"a node without local endpoints fails", nodeWithoutLocalEndpointsFails},
		{"a node outside of the source ranges asks its node port", nodeOutsideTheRangesAsksItsNodePort},
		{"probes of every type", probesOfEveryType},
		{"manifest of kube-vip", manifestOfKubeVIP},
		{"denied clients get nothing", deniedClientsGetNothing},
		{"rules outlive the announcer", rulesOutliveTheAnnouncer},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(newSpace(t, c)) })
	}
}

// checked asks for an HTTP health check that is quick to judge.
func checked(service *corev1.Service) {
	for key, value := range map[string]string{
		"type": "http", "interval": "1", "timeout": "1", "healthy-threshold": "2", "unhealthy-threshold": "2",
	} {
		annotated(settings.Prefix+"health-check-"+key, value)(service)
	}
}

// checkedWeb makes Service web with a health check that has passed on all three nodes, and returns its address.
func (s *space) checkedWeb() netip.Addr {
	s.t.Helper()
	s.service("web", checked)
	addr := s.awaitCount("web", 1)[0]
	s.awaitAnswer(lab.Client, addr)
	s.awaitHealthy(addr, metav1.ConditionTrue)
	for _, node := range s.Nodes() {
		s.awaitFailing(node, addr)
	}
	return addr
}

// awaitHealthy waits until the VirtualIP tells whether the node that announces it passes the health check.
func (s *space) awaitHealthy(addr netip.Addr, want metav1.ConditionStatus) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, fmt.Sprintf("condition Healthy=%s of %s", want, addr), func(ctx context.Context) (bool, string, error) {
		vip, err := s.vip(ctx, addr)
		if err != nil {
			return false, err.Error(), nil //nolint:nilerr // tried again: the wait reports it
		}
		c := meta.FindStatusCondition(vip.Status.Conditions, v1alpha1.ConditionHealthy)
		return c != nil && c.Status == want, fmt.Sprintf("%+v", vip.Status), nil
	})
}

// awaitFailing waits until a node runs the probe of an address, and says that it fails with all of the words; without
// words, that it does not fail.
func (s *space) awaitFailing(node string, addr netip.Addr, words ...string) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, fmt.Sprintf("node %s to report the health of %s as %q", node, addr, words), func(ctx context.Context) (bool, string, error) {
		got, err := s.fairlead.FairleadV1alpha1().Announcers().Get(ctx, node, metav1.GetOptions{})
		if err != nil || got.Status.HealthChecks == nil {
			return false, fmt.Sprint("no health checks, ", err), nil //nolint:nilerr // tried again: the wait reports it
		}
		h := got.Status.HealthChecks
		at := slices.IndexFunc(h.Failed, func(f v1alpha1.FailedHealthCheck) bool { return f.Address == addr.String() })
		if at < 0 {
			return len(words) == 0 && h.Running > 0, fmt.Sprintf("%+v", *h), nil
		}
		return len(words) > 0 && hasAll(h.Failed[at].Message, words), fmt.Sprintf("%+v", *h), nil
	})
}

// cutOff keeps what a node itself sends to an address, or forwards for it, from all endpoints, and leaves alone what other
// nodes forward to endpoints here.
func (s *space) cutOff(node string, addr netip.Addr) (heal func()) {
	s.t.Helper()
	return s.cutOffWhat(node, "ct original ip daddr "+addr.String())
}

// cutOffWhat is cutOff for packets that match.
func (s *space) cutOffWhat(node, which string) (heal func()) {
	s.t.Helper()
	script := "add table inet fault; add chain inet fault post { type filter hook postrouting priority 50; }; add rule inet fault post " + which + " drop"
	if _, err := s.Exec(s.t.Context(), node, "nft", script); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		if _, err := s.Exec(context.WithoutCancel(s.t.Context()), node, "nft", "delete table inet fault"); err != nil {
			s.t.Error(err)
		}
	}
}

// nodeOutsideTheRangesAsksItsNodePort: kube-proxy would drop what the node sends to the address, which the client reaches.
func nodeOutsideTheRangesAsksItsNodePort(s *space) {
	s.onSegment()
	s.backends("n2")
	made := s.service("web", checked, func(service *corev1.Service) {
		service.Spec.AllocateLoadBalancerNodePorts = new(true)
		service.Spec.LoadBalancerSourceRanges = []string{s.Addr4(lab.Client).String() + "/32"}
	})
	addr := s.awaitCount("web", 1)[0]
	s.awaitAnswer(lab.Client, addr)
	s.awaitHealthy(addr, metav1.ConditionTrue)
	for _, node := range s.Nodes() {
		s.awaitFailing(node, addr)
	}
	owner, port := s.awaitOwner(addr), made.Spec.Ports[0].NodePort
	heal := s.cutOffWhat(owner, fmt.Sprintf("tcp dport 1-65535 ct original proto-dst %d", port))
	defer heal()
	s.awaitFailing(owner, addr, s.namespace+"/web", fmt.Sprintf(":%d/", port), "no answer in time")
	s.awaitOwner(addr, owner)
	s.awaitHealthy(addr, metav1.ConditionTrue)
	s.awaitAnswer(lab.Client, addr)
}

func failingNodeGivesTheAddressAway(s *space) {
	s.onSegment()
	s.backends("n2")
	addr := s.checkedWeb()
	owner := s.awaitOwner(addr)
	heal := s.cutOff(owner, addr)
	s.awaitSpeaker(addr, owner)
	s.awaitOwner(addr, owner)
	s.awaitFailing(owner, addr, s.namespace+"/web", "http://"+addr.String(), "no answer in time")
	s.awaitHealthy(addr, metav1.ConditionTrue)
	s.awaitAnswered(addr)
	next := s.awaitOwner(addr, owner)
	capture, err := s.CaptureARP(lab.Client)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { capture.Stop() })
	s.failingNothing(addr, func() {
		heal()
		s.awaitAllPass(owner)
		s.awaitAnswered(addr)
	})
	if now := s.awaitOwner(addr); now != next {
		s.t.Errorf("the address went from %s to %s because %s passes again", next, now, owner)
	}
	s.wantSilent(capture, owner, addr)
}

// awaitAllPass waits until a node says that it probes, and that nothing fails; in a merge patch that has to be said.
func (s *space) awaitAllPass(node string) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, "nothing to fail on "+node, func(ctx context.Context) (bool, string, error) {
		got, err := s.fairlead.FairleadV1alpha1().Announcers().Get(ctx, node, metav1.GetOptions{})
		if err != nil || got.Status.HealthChecks == nil {
			return false, fmt.Sprint("no health checks, ", err), nil //nolint:nilerr // tried again: the wait reports it
		}
		h := got.Status.HealthChecks
		return h.Running > 0 && h.Failing == 0 && len(h.Failed) == 0, fmt.Sprintf("%+v", *h), nil
	})
}

// wantSilent checks that nobody was told during the capture that a node has an address.
func (s *space) wantSilent(capture *lab.ARPCapture, node string, addr netip.Addr) {
	s.t.Helper()
	mac, err := s.MAC(node)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, seen := range capture.Seen(addr) {
		if bytes.Equal(seen.SenderHW, mac) {
			s.t.Errorf("%s claimed %s by ARP: %+v", node, addr, seen)
		}
	}
}

func failingEverywhereStays(s *space) {
	s.onSegment()
	pod := s.backends("n1")[0]
	addr := s.checkedWeb()
	owner := s.awaitOwner(addr)
	pod.Process().Kill()
	const why = "connection re" // refused, or reset where the probe was under way
	for _, node := range s.Nodes() {
		s.awaitFailing(node, addr, why)
	}
	s.awaitWarning("web", "every node", addr.String(), why)
	s.awaitWarning(ipam.ObjectName(addr), "every node")
	s.awaitHealthy(addr, metav1.ConditionFalse)
	if now := s.awaitOwner(addr); s.speaker(addr) != now {
		s.t.Errorf("%s announced the address, now %s does by its status and %s by ARP", owner, now, s.speaker(addr))
	}
	s.backends("n3")
	s.awaitAnswered(addr)
}

// awaitAnswered waits until the client gets ten answers in a row.
func (s *space) awaitAnswered(addr netip.Addr) {
	s.t.Helper()
	for range 10 {
		s.awaitAnswer(lab.Client, addr)
	}
	s.awaitHealthy(addr, metav1.ConditionTrue)
}

// nodeWithoutLocalEndpointsFails: kube-proxy sends what a node itself asks for to endpoints anywhere, but what clients
// send to those of the node only.
func nodeWithoutLocalEndpointsFails(s *space) {
	s.onSegment()
	s.backends("n1", "n2")
	s.service("web", checked, local)
	addr := s.awaitCount("web", 1)[0]
	s.awaitAnswer(lab.Client, addr)
	s.awaitHealthy(addr, metav1.ConditionTrue)
	vip := s.wantVIP(addr)
	if slices.Contains(vip.Spec.Candidates, "n3") {
		s.t.Fatalf("n3 has no endpoint and is a candidate: %v", vip.Spec.Candidates)
	}
	// Without the manager the candidates stay; the node's own probe has to tell.
	s.ccm.Kill()
	owner := s.awaitOwner(addr)
	pods, err := s.Client().CoreV1().Pods(s.namespace).List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range pods.Items {
		if p := &pods.Items[i]; p.Spec.NodeName == owner {
			patch := `{"metadata":{"labels":{"app":"other"}}}`
			if _, err := s.Client().CoreV1().Pods(s.namespace).Patch(s.t.Context(), p.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	s.awaitFailing(owner, addr, "no ready endpoint on this node")
	s.awaitOwner(addr, owner)
	if by := s.awaitAnswer(lab.Client, addr).Node; by == owner {
		s.t.Errorf("an answer from %s, which has no endpoint any more", by)
	}
	s.ccm = s.startCCM(s.t, "ccm-after-local", "--leader-elect=false")
}

// reaches tells whether a host gets an answer by TCP and by UDP.
func (s *space) reaches(ctx context.Context, host string, addr netip.Addr) (tcp, udp bool) {
	_, errTCP := s.Ask(ctx, host, url(addr))
	_, errUDP := s.AskUDP(ctx, host, net.JoinHostPort(addr.String(), "80"))
	return errTCP == nil, errUDP == nil
}

// awaitReach waits until a host gets answers by both protocols, or by none.
func (s *space) awaitReach(host string, addr netip.Addr, want bool) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, fmt.Sprintf("answers from %s to %s: %v", addr, host, want), func(ctx context.Context) (bool, string, error) {
		tcp, udp := s.reaches(ctx, host, addr)
		return tcp == want && udp == want, fmt.Sprintf("tcp %v, udp %v", tcp, udp), nil
	})
}

// limitedWeb makes Service web on TCP and UDP that only the client on the segment may reach, and returns its addresses.
func (s *space) limitedWeb() []netip.Addr {
	s.t.Helper()
	s.onSegment()
	s.backends(s.Nodes()...)
	s.service("web", families(require), func(service *corev1.Service) {
		udp := service.Spec.Ports[0]
		udp.Name, udp.Protocol = "udp", corev1.ProtocolUDP
		service.Spec.Ports = append(service.Spec.Ports, udp)
	}, annotated(settings.AccessControlAllowKey, s.Addr4(lab.Client).String()+"/32, "+s.Addr6(lab.Client).String()+"/128"))
	addrs := s.awaitCount("web", 2)
	for _, addr := range addrs {
		s.awaitReach(lab.Client, addr, true)
	}
	return addrs
}

func deniedClientsGetNothing(s *space) {
	addrs := s.limitedWeb()
	for _, addr := range addrs {
		if tcp, udp := s.reaches(s.t.Context(), lab.Far, addr); tcp || udp {
			s.t.Errorf("a client that is not allowed reached %s: tcp %v, udp %v", addr, tcp, udp)
		}
	}
	update := func(patch string) {
		if _, err := s.Client().CoreV1().Services(s.namespace).Patch(s.t.Context(), "web", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			s.t.Fatal(err)
		}
	}
	update(fmt.Sprintf(`{"metadata":{"annotations":{%q:null,%q:%q}}}`, settings.AccessControlAllowKey, settings.AccessControlDenyKey,
		s.Addr4(lab.Client).String()+"/32, "+s.Addr6(lab.Client).String()+"/128"))
	for _, addr := range addrs {
		s.awaitReach(lab.Client, addr, false)
		s.awaitReach(lab.Far, addr, true)
	}
	update(fmt.Sprintf(`{"metadata":{"annotations":{%q:null}}}`, settings.AccessControlDenyKey))
	for _, addr := range addrs {
		s.awaitReach(lab.Client, addr, true)
	}
	s.awaitTables(0)
}

// awaitTables waits until so many nodes have a table of rules.
func (s *space) awaitTables(want int) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, fmt.Sprintf("the rules of access control on %d nodes", want), func(ctx context.Context) (bool, string, error) {
		have := 0
		for _, node := range s.Nodes() {
			out, err := s.Exec(ctx, node, "nft", "list", "tables")
			if err != nil {
				return false, "", err
			}
			if strings.Contains(out, "table inet fairlead\n") {
				have++
			}
		}
		return have == want, fmt.Sprintf("%d have it", have), nil
	})
}

// rulesOutliveTheAnnouncer: at no time of an update can those who are denied get through, and what is left behind by an
// announcer goes with the Service.
func rulesOutliveTheAnnouncer(s *space) {
	addr := s.limitedWeb()[0]
	s.awaitTables(len(s.Nodes()))
	probe, err := s.ProbeUDP(s.t.Context(), lab.Far, net.JoinHostPort(addr.String(), "80"), lab.ProbeOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, node := range s.Nodes() {
		if err := s.Announcer(node).Terminate(s.t.Context()); err != nil {
			s.t.Error(err)
		}
		s.restart(node)
		s.awaitAnswer(lab.Client, addr)
	}
	if attempts := probe.Stop(); attempts.Failures() != len(attempts) || len(attempts) == 0 {
		s.t.Errorf("%d of %d requests of a client that is not allowed were answered while announcers started again",
			len(attempts)-attempts.Failures(), len(attempts))
	}
	if err := s.Client().CoreV1().Services(s.namespace).Delete(s.t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.awaitTables(0)
}
