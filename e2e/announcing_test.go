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
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
)

// TestAnnouncing runs on one lab: each of its tests leaves three announcers and a manager running.
func TestAnnouncing(t *testing.T) {
	c := ownCloud(t, lab.Config{})
	c.ccm = c.startCCM(t, "ccm", "--leader-elect=false") // an outage of the API server would end a leader
	if err := c.StartAnnouncers(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.awaitMembers(t)
	for _, test := range []struct {
		name string
		run  func(*space)
	}{
		{"clients reach Services", clientsReachServices},
		{"status tells who announces", statusTellsWhoAnnounces},
		{"SIGTERM of the announcer fails no request", terminatedAnnouncerFailsNoRequest},
		{"node that is to go fails no request", leavingNodeFailsNoRequest},
		{"killed announcer", killedAnnouncerLosesItsAddress},
		{"crashed node", crashedNodeLosesItsAddress},
		{"node that lost its gateway", nodeWithoutGatewayStandsBack},
		{"without the manager", addressMovesWithoutManager},
		{"live node that is taken for dead", liveNodeIsTakenBack},
		{"without the API server", addressMovesWithoutAPIServer},
		{"address of another station", addressOfAnotherStationIsNotUsed},
		{"Local traffic follows endpoints", localTrafficFollowsEndpoints},
		{"last endpoints on a node that is to go", lastEndpointsKeepTheAddress},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(newSpace(t, c)) })
	}
}

// tenOfSegment returns the first of ten addresses of each family of the nodes' segment, others for each test.
func (s *space) tenOfSegment() (first4, first6 netip.Addr) {
	start4, start6 := s.Pool4().First.As4(), s.Pool6().First.As16()
	ten := byte(10 * (s.number % 14))
	start4[3], start6[15] = start4[3]+ten, ten
	return netip.AddrFrom4(start4), netip.AddrFrom16(start6)
}

// onSegment makes a pool of the test's ten addresses.
func (s *space) onSegment() (first4, first6 netip.Addr) {
	s.t.Helper()
	first4, first6 = s.tenOfSegment()
	last4, last6 := first4.As4(), first6.As16()
	last4[3], last6[15] = last4[3]+9, last6[15]+9
	s.pool("segment", []string{span(first4, netip.AddrFrom4(last4)), span(first6, netip.AddrFrom16(last6))})
	return first4, first6
}

// podName returns the name of the pod of Service web on a node.
func (s *space) podName(node string) string { return fmt.Sprintf("%s-web-%s", s.namespace[:3], node) }

// backends starts a pod for Service web on each of the nodes.
func (s *space) backends(nodes ...string) []*lab.Pod {
	s.t.Helper()
	var pods []*lab.Pod
	for _, node := range nodes {
		pod, err := s.StartPod(s.t.Context(), lab.PodSpec{
			Name: s.podName(node), Namespace: s.namespace, Node: node, Labels: map[string]string{"app": "web"},
		})
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() {
			if err := s.DeletePod(context.WithoutCancel(s.t.Context()), pod); err != nil {
				s.t.Error(err)
			}
		})
		pods = append(pods, pod)
	}
	return pods
}

// web makes Service web with backends on all nodes, and returns its address once the client gets an answer from it.
func (s *space) web() netip.Addr {
	s.t.Helper()
	s.onSegment()
	s.backends(s.Nodes()...)
	s.service("web")
	addr := s.awaitCount("web", 1)[0]
	s.awaitAnswer(lab.Client, addr)
	return addr
}

func url(addr netip.Addr) string { return "http://" + net.JoinHostPort(addr.String(), "80") }

func (s *space) awaitAnswer(host string, addr netip.Addr) (answer lab.Answer) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, fmt.Sprintf("an answer from %s to %s", addr, host), func(ctx context.Context) (bool, string, error) {
		var err error
		answer, err = s.Ask(ctx, host, url(addr))
		return err == nil, fmt.Sprint(err), nil
	})
	return answer
}

// awaitOwner waits until the VirtualIP's status names a node, other than the given ones.
func (s *space) awaitOwner(addr netip.Addr, not ...string) (owner string) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, fmt.Sprintf("an owner of %s, not %v", addr, not), func(ctx context.Context) (bool, string, error) {
		vip, err := s.vip(ctx, addr)
		if err != nil {
			return false, err.Error(), nil //nolint:nilerr // tried again: the wait reports it
		}
		owner = vip.Status.Node
		return owner != "" && !slices.Contains(not, owner) && meta.IsStatusConditionTrue(vip.Status.Conditions, v1alpha1.ConditionAnnounced),
			fmt.Sprintf("candidates %v, %+v", vip.Spec.Candidates, vip.Status), nil
	})
	return owner
}

// awaitKnown waits until an address has been announced for so long that all candidates know of it. Who takes an address over
// without knowing looks for another station first.
func (s *space) awaitKnown(addr netip.Addr) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, fmt.Sprintf("%s to have been announced for three seconds", addr), func(ctx context.Context) (bool, string, error) {
		vip, err := s.vip(ctx, addr)
		if err != nil {
			return false, err.Error(), nil //nolint:nilerr // tried again: the wait reports it
		}
		c := meta.FindStatusCondition(vip.Status.Conditions, v1alpha1.ConditionAnnounced)
		return c != nil && c.Status == metav1.ConditionTrue && time.Since(c.LastTransitionTime.Time) >= 3*time.Second,
			fmt.Sprintf("%+v", vip.Status), nil
	})
}

// awaitSpeaker waits until the client's neighbour cache has another node for the address than the given one, and the
// address answers.
func (s *space) awaitSpeaker(addr netip.Addr, not string) (node string) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, fmt.Sprintf("another node than %s to answer ARP for %s", not, addr), func(ctx context.Context) (bool, string, error) {
		node = s.speaker(addr)
		if node == "" || node == not {
			return false, "the client's cache has " + node, nil
		}
		_, err := s.Ask(ctx, lab.Client, url(addr))
		return err == nil, fmt.Sprint(err), nil
	})
	return node
}

// speaker returns the node whose hardware address the client has for an address.
func (c *cloud) speaker(addr netip.Addr) string {
	have, err := c.Neighbor(lab.Client, addr)
	if err != nil {
		return ""
	}
	for _, node := range c.Nodes() {
		if mac, err := c.MAC(node); err == nil && bytes.Equal(mac, have) {
			return node
		}
	}
	return ""
}

// awaitMembers waits until the three announcers are ready and see each other.
func (c *cloud) awaitMembers(t *testing.T) {
	t.Helper()
	const n = 3
	lab.Await(t.Context(), t, fmt.Sprintf("%d announcers that see each other", n), func(ctx context.Context) (bool, string, error) {
		list, err := c.fairlead.FairleadV1alpha1().Announcers().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err.Error(), nil //nolint:nilerr // tried again: the wait reports it
		}
		var detail []string
		ready := int32(0)
		for i := range list.Items {
			status := &list.Items[i].Status
			detail = append(detail, fmt.Sprintf("%s sees %d, %+v", list.Items[i].Name, status.Members, status.Conditions))
			if status.Members == n && meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady) {
				ready++
			}
		}
		return ready == n, strings.Join(detail, "; "), nil
	})
}

// restart starts the announcer of a node again and waits until it takes part.
func (s *space) restart(node string) {
	s.t.Helper()
	if _, err := s.StartAnnouncer(s.t.Context(), node); err != nil {
		s.t.Fatal(err)
	}
	s.awaitMembers(s.t)
}

func clientsReachServices(s *space) {
	first4, first6 := s.onSegment()
	s.backends("n1", "n2")
	s.service("web", families(require), func(service *corev1.Service) {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{
			Name: "udp", Port: 80, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolUDP,
		})
	})
	s.awaitAddresses("web", first4, first6)
	for _, host := range []string{lab.Client, lab.Far} {
		for _, addr := range []netip.Addr{first4, first6} {
			s.awaitAnswer(host, addr)
			lab.Await(s.t.Context(), s.t, fmt.Sprintf("UDP from %s to %s", addr, host), func(ctx context.Context) (bool, string, error) {
				_, err := s.AskUDP(ctx, host, net.JoinHostPort(addr.String(), "80"))
				return err == nil, fmt.Sprint(err), nil
			})
		}
	}
}

func statusTellsWhoAnnounces(s *space) {
	addr := s.web()
	owner := s.awaitOwner(addr)
	if speaker := s.speaker(addr); speaker != owner {
		s.t.Errorf("status names %s, and %s answers ARP", owner, speaker)
	}
	vip := s.wantVIP(addr)
	if vip.Spec.Candidates[0] != owner || len(vip.Spec.Candidates) < 2 || vip.Status.Since == nil || vip.Status.Epoch != vip.Spec.Epoch {
		s.t.Errorf("candidates %v of epoch %d, status %+v", vip.Spec.Candidates, vip.Spec.Epoch, vip.Status)
	}
	lab.Await(s.t.Context(), s.t, "the inventory of "+owner, func(ctx context.Context) (bool, string, error) {
		got, err := s.fairlead.FairleadV1alpha1().Announcers().Get(ctx, owner, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		at := slices.IndexFunc(got.Status.Interfaces, func(i v1alpha1.NodeInterface) bool { return i.Name == "eth0" })
		return at >= 0 && slices.Contains(got.Status.Interfaces[at].Addresses, s.Addr4(owner).String()+"/24") &&
			got.Status.Interfaces[at].DefaultRoute && got.Status.Interfaces[at].Up && got.Status.Owned >= 1 &&
			strings.HasPrefix(got.Status.GossipAddress, s.Addr4(owner).String()), fmt.Sprintf("%+v", got.Status), nil
	})
}

// failingNothing runs a change under a probe and checks that no request failed, nor would have without TCP's sending anew.
func (s *space) failingNothing(addr netip.Addr, change func()) {
	s.t.Helper()
	probe, err := s.ProbeHTTP(s.t.Context(), lab.Client, url(addr), lab.ProbeOptions{Timeout: 20 * time.Second, FirstSYN: true})
	if err != nil {
		s.t.Fatal(err)
	}
	change()
	attempts := probe.Stop()
	if failed := attempts.Failures(); failed > 0 || len(attempts) == 0 {
		s.t.Errorf("%d of %d requests failed, the longest time without an answer was %s", failed, len(attempts), attempts.LongestGap())
		for _, attempt := range attempts {
			if !attempt.OK {
				s.t.Logf("%s to %s: %s", attempt.Start.Format(time.StampMicro), attempt.End.Format(time.StampMicro), attempt.Err)
			}
		}
	}
}

func terminatedAnnouncerFailsNoRequest(s *space) {
	addr := s.web()
	owner := s.awaitOwner(addr)
	conn := s.keep(addr)
	s.failingNothing(addr, func() {
		if err := s.Announcer(owner).Terminate(s.t.Context()); err != nil {
			s.t.Error(err)
		}
		s.awaitSpeaker(addr, owner)
	})
	next := s.awaitOwner(addr, owner)
	conn.ask("while the announcer that it was opened through is away")
	s.restart(owner)
	conn.ask("after its return")
	if now := s.awaitOwner(addr); now != next {
		s.t.Errorf("the address went from %s to %s because %s came back", next, now, owner)
	}
}

// leavingNodeFailsNoRequest puts each sign that a node is to go on the node that announces, and takes it off again. The
// taints have an effect that evicts no pod: what moves is the address alone.
func leavingNodeFailsNoRequest(s *space) {
	addr := s.web()
	for _, sign := range [][]string{
		{"annotate", "fairlead.dev/drain", "=true"},
		{"taint", "ToBeDeletedByClusterAutoscaler", "=1:NoSchedule"},
		{"taint", "node.kubernetes.io/out-of-service", "=nodeshutdown:NoSchedule"},
	} {
		verb, key, value := sign[0], sign[1], sign[2]
		owner := s.awaitOwner(addr)
		put := func(what string) {
			if _, err := s.Kubectl(s.t.Context(), verb, "node", owner, what); err != nil {
				s.t.Fatal(err)
			}
		}
		conn := s.keep(addr)
		s.failingNothing(addr, func() {
			put(key + value)
			s.awaitSpeaker(addr, owner)
			s.awaitOwner(addr, owner)
		})
		conn.ask("through a node with " + key)
		put(key + "-")
	}
}

func killedAnnouncerLosesItsAddress(s *space) {
	addr := s.web()
	owner := s.awaitOwner(addr)
	s.Announcer(owner).Kill()
	s.awaitSpeaker(addr, owner)
	s.awaitOwner(addr, owner)
	s.restart(owner)
}

func crashedNodeLosesItsAddress(s *space) {
	addr := s.web()
	owner := s.awaitOwner(addr)
	s.awaitKnown(addr)
	if err := s.PowerOffNode(s.t.Context(), owner); err != nil {
		s.t.Fatal(err)
	}
	s.awaitOutOfService(owner)
	s.awaitSpeaker(addr, owner)
	next := s.awaitOwner(addr, owner)
	s.awaitAnnouncerMetric(next, "fairlead_announcer_detection_seconds_count")
	s.awaitAnnouncerMetric(next, "fairlead_announcer_takeover_delay_seconds_count")
	s.awaitAnnouncerMetric(next, `fairlead_announcer_takeovers_total{cause="takeover"}`)
	s.awaitAnnouncerMetric(next, fmt.Sprintf("fairlead_announcer_owner{address=%q}", addr))
	if err := s.RestoreNode(s.t.Context(), owner); err != nil {
		s.t.Fatal(err)
	}
	s.awaitMembers(s.t)
	if now := s.awaitOwner(addr); now != next {
		s.t.Errorf("the address went from %s to %s because %s came back", next, now, owner)
	}
	s.awaitAnswer(lab.Client, addr)
	s.awaitTakenBack(owner, func(context.Context) error { return nil })
}

func nodeWithoutGatewayStandsBack(s *space) {
	addr := s.web()
	owner := s.awaitOwner(addr)
	s.t.Cleanup(func() {
		if err := s.Heal(context.WithoutCancel(s.t.Context())); err != nil {
			s.t.Error(err)
		}
	})
	s.failingNothing(addr, func() {
		if err := s.Block(s.t.Context(), lab.Router, owner); err != nil {
			s.t.Fatal(err)
		}
		s.awaitSpeaker(addr, owner)
		s.awaitOwner(addr, owner)
	})
}

func addressMovesWithoutManager(s *space) {
	addr := s.web()
	owner := s.awaitOwner(addr)
	s.ccm.Kill()
	s.Announcer(owner).Kill()
	s.awaitSpeaker(addr, owner)
	s.awaitOwner(addr, owner)
	s.ccm = s.startCCM(s.t, "ccm-again", "--leader-elect=false")
	s.restart(owner)
	s.wantAddresses("web", addr)
}

func addressMovesWithoutAPIServer(s *space) {
	addr := s.web()
	owner := s.awaitOwner(addr)
	s.failingNothing(addr, func() {
		s.StopAPIServer()
		for range 100 { // a hundred answers one after the other
			s.awaitAnswer(lab.Client, addr)
		}
	})
	s.Announcer(owner).Kill()
	next := s.awaitSpeaker(addr, owner)
	if err := s.StartAPIServer(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	if now := s.awaitOwner(addr, owner); now != next {
		s.t.Errorf("%s took over, the status says %s", next, now)
	}
	s.restart(owner)
}

func addressOfAnotherStationIsNotUsed(s *space) {
	first, _ := s.onSegment()
	if err := s.AddHost("stranger"); err != nil {
		s.t.Fatal(err)
	}
	if err := s.AddAddress("stranger", netip.PrefixFrom(first, 24)); err != nil {
		s.t.Fatal(err)
	}
	s.backends("n1")
	s.service("web")
	s.awaitAddresses("web", first.Next())
	s.awaitAnswer(lab.Client, first.Next())
	stranger, err := s.MAC("stranger")
	if err != nil {
		s.t.Fatal(err)
	}
	lab.Await(s.t.Context(), s.t, "the client to find the stranger behind its address", func(ctx context.Context) (bool, string, error) {
		_, refused := s.Ask(ctx, lab.Client, url(first)) // asks for the hardware address first
		have, err := s.Neighbor(lab.Client, first)
		return bytes.Equal(have, stranger), fmt.Sprintf("%s, %v", have, refused), err
	})
	s.awaitWarning(ipam.ObjectName(first), first.String(), stranger.String())
	s.claimOfStranger(first.Next(), stranger)
	s.wantAddresses("web", first.Next())
}

// claimOfStranger lets the station claim an address that is announced, which is told of and defended, and changes nothing.
func (s *space) claimOfStranger(addr netip.Addr, stranger net.HardwareAddr) {
	owner := s.awaitOwner(addr)
	if err := s.AddAddress("stranger", netip.PrefixFrom(addr, 24)); err != nil {
		s.t.Fatal(err)
	}
	client := s.Addr4(lab.Client)
	if _, err := s.Exec(s.t.Context(), "stranger", "ip", "route", "replace", client.String(), "dev", "eth0", "src", addr.String()); err != nil {
		s.t.Fatal(err)
	}
	lab.Await(s.t.Context(), s.t, "the claim to be told of", func(ctx context.Context) (bool, string, error) {
		// The question for the client's hardware address names the address as the stranger's.
		if _, err := s.Exec(ctx, "stranger", "ip", "neigh", "flush", "dev", "eth0"); err != nil {
			return false, "", err
		}
		_, refused := s.Ask(ctx, "stranger", url(client))
		vip := s.wantVIP(addr)
		conflict := meta.IsStatusConditionTrue(vip.Status.Conditions, v1alpha1.ConditionConflict)
		return conflict && vip.Status.Node == owner, fmt.Sprintf("%+v, %v", vip.Status, refused), nil
	})
	s.awaitWarning(ipam.ObjectName(addr), addr.String(), stranger.String())
	if err := s.RemoveAddress("stranger", netip.PrefixFrom(addr, 24)); err != nil {
		s.t.Fatal(err)
	}
}
