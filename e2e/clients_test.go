// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// awaitAnswerOn is awaitAnswer for another port than 80.
func (s *space) awaitAnswerOn(host string, addr netip.Addr, port int) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, fmt.Sprintf("an answer from %s port %d to %s", addr, port, host), func(ctx context.Context) (bool, string, error) {
		_, err := s.Ask(ctx, host, "http://"+net.JoinHostPort(addr.String(), strconv.Itoa(port)))
		return err == nil, fmt.Sprint(err), nil
	})
}

// awaitNobody waits until nobody on the segment says that it has an address.
func (s *space) awaitNobody(addr netip.Addr) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, "nobody to have "+addr.String(), func(ctx context.Context) (bool, string, error) {
		if err := s.FlushNeighbors(lab.Client); err != nil {
			return false, "", err
		}
		_, asked := s.Ask(ctx, lab.Client, url(addr)) // asks for the hardware address first
		mac, err := s.Neighbor(lab.Client, addr)
		return asked != nil && mac == nil, fmt.Sprintf("%s has it, asked: %v", mac, asked), err
	})
}

// plainLoadBalancers have annotations that ask for what every Service gets here, and for one address.
func plainLoadBalancers(s *space) {
	first, _ := s.onSegment()
	asked := first.Next().Next()
	s.backends("n1", "n3")
	plain := map[string]string{
		current + "type": "nlb", current + "ip": asked.String(), current + "protocol-port": "tcp:80,udp:53", current + "scheduler": "rr",
		current + "cross-zone-enabled": "on", current + "name": "shop", "service.beta.kubernetes.io/backend-type": "ecs",
	}
	s.service("web", ofClass(v1alpha1.LoadBalancerClass), annotations(plain), func(service *corev1.Service) {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{
			Name: "dns", Port: 53, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolUDP,
		})
	})
	s.awaitAddresses("web", asked)
	s.awaitAnswer(lab.Client, asked)
	lab.Await(s.t.Context(), s.t, "an answer by UDP", func(ctx context.Context) (bool, string, error) {
		_, err := s.AskUDP(ctx, lab.Client, net.JoinHostPort(asked.String(), "53"))
		return err == nil, fmt.Sprint(err), nil
	})
	if told := s.warnings(s.t.Context(), "web"); len(told) > 0 {
		s.t.Errorf("warnings %q, want none", told)
	}
	// A name is no identity, and of an address that is taken there is no other instead.
	s.service("clb", forPods("web"), annotations(map[string]string{current + "type": "clb", current + "name": "shop"}))
	s.awaitAddresses("clb", first)
	s.awaitAnswer(lab.Client, first)
	s.service("late", forPods("other"), annotated(current+"ip", asked.String()))
	s.awaitWarning("late", asked.String(), s.namespace+"/web")
	s.service("outside", annotated(current+"ip", "203.0.113.7"))
	s.awaitWarning("outside", "203.0.113.7")
	s.wantAddresses("late")
	s.wantAddresses("outside")
	s.awaitAnswer(lab.Client, asked)
}

// servicesOfOthers get nothing, though they ask for an address: nobody answers for it until a Service without such a sign
// asks too.
func servicesOfOthers(s *space) {
	first, _ := s.onSegment()
	s.backends("n2")
	wanted := annotated(settings.AddressesKey, first.String())
	for name, sign := range map[string]edit{
		"of-class":  ofClass("example.com/other"),
		"annotated": annotated(v1alpha1.ElsewhereKey, "other"),
		"tunnelled": annotated("service.beta.kubernetes.io/alibaba-cloud-loadbalancer-tunnel-type", ""),
		"of-nlb":    ofClass("alibabacloud.com/nlb"),
	} {
		s.service(name, forPods("web"), wanted, sign)
	}
	s.service("other", forPods("web"))
	s.awaitAddresses("other", first)
	s.deleteService("other")
	s.awaitNobody(first)
	s.service("web", wanted)
	s.awaitAddresses("web", first)
	s.awaitAnswer(lab.Client, first)
}

// namedAccessLists limit clients to the networks that the cloud config names, or to all others.
func namedAccessLists(s *space) {
	addr, _ := s.onSegment()
	s.backends("n1", "n2", "n3")
	list := func(status, kind, names string) map[string]string {
		return map[string]string{current + "acl-status": status, current + "acl-type": kind, current + "acl-id": names}
	}
	near, far := s.Addr4(lab.Client).String()+"/32", s.Addr4(lab.Far).String()+"/32"
	limits := []struct {
		name        string
		annotations map[string]string
		ranges      []string
		near, far   bool
	}{
		{"white", list("on", "white", "near,office"), nil, true, false},
		{"black", list("on", "black", "near"), nil, false, true},
		{"both", list("on", "white", "near"), []string{near, far}, true, false},
		{"ranges", list("on", "white", "near,far"), []string{far}, false, true},
		{"off", list("off", "white", "near"), nil, true, true},
		{"nobody", list("on", "white", "none"), nil, false, false},
	}
	at := map[string]netip.Addr{}
	for _, limit := range limits {
		s.service(limit.name, forPods("web"), annotations(limit.annotations), func(service *corev1.Service) {
			service.Spec.LoadBalancerSourceRanges = limit.ranges
		})
		s.awaitAddresses(limit.name, addr)
		at[limit.name], addr = addr, addr.Next()
	}
	s.awaitWarning("nobody", "allow no client at all")
	for _, limit := range limits {
		for host, allowed := range map[string]bool{lab.Client: limit.near, lab.Far: limit.far} {
			if allowed {
				s.awaitAnswer(host, at[limit.name])
			}
		}
	}
	// By now all of them are announced and in kube-proxy's rules, but for the one that nobody may reach.
	s.awaitOwner(at["nobody"])
	var asking sync.WaitGroup
	for _, limit := range limits {
		for host, allowed := range map[string]bool{lab.Client: limit.near, lab.Far: limit.far} {
			asking.Go(func() {
				if answer, err := s.Ask(s.t.Context(), host, url(at[limit.name])); err == nil && !allowed {
					s.t.Errorf("%s: %s is denied and was answered by %+v", limit.name, host, answer)
				}
			})
		}
	}
	asking.Wait()
}

// zonesAndTheirPools: the address is from the first zone's pool, and only nodes of the zones announce it.
func zonesAndTheirPools(s *space) {
	first, _ := s.onSegment()
	for node, zone := range map[string]string{"n1": "east", "n2": "west", "n3": "north"} {
		s.label(node, corev1.LabelTopologyZone, zone)
	}
	s.backends("n1")
	addr, pool := first.Next(), s.poolName("segment")
	s.service("web", annotated(current+"zone-maps", fmt.Sprintf("west:%s:%s,north:%s", pool, addr, pool)))
	s.awaitAddresses("web", addr)
	owner := s.awaitOwner(addr, "n1")
	s.awaitAnswer(lab.Client, addr)
	// A node that is of no such zone any more gives it away, and one that is no node of the zones gets it never.
	s.label(owner, corev1.LabelTopologyZone, "east")
	heir := s.awaitSpeaker(addr, owner)
	if heir == "n1" {
		s.t.Errorf("n1 in zone east announces %s", addr)
	}
	s.label(heir, corev1.LabelTopologyZone, "east")
	s.awaitWarning("web", "NoNodeSelected", "zone-maps")
	s.awaitNobody(addr)
	s.wantAddresses("web", addr)
}

// whatKubeProxyIsToBeTold stands in the Service's spec: the warning says what, and no longer once it is so.
func whatKubeProxyIsToBeTold(s *space) {
	s.onSegment()
	s.backends(s.Nodes()...)
	s.service("web", annotations(map[string]string{current + "persistence-timeout": "600", current + "preserve-client-ip": "on"}))
	addr := s.awaitCount("web", 1)[0]
	s.awaitWarning("web", settings.ReasonAdvice, "spec.sessionAffinityConfig.clientIP.timeoutSeconds: 600")
	s.awaitWarning("web", settings.ReasonAdvice, "preserve-client-ip", "externalTrafficPolicy: Local")
	s.awaitAnswer(lab.Client, addr)
	if pods := s.answering(addr); len(pods) == 1 {
		s.t.Errorf("only %v answers before the advice is taken", pods)
	}
	advised := func(service *corev1.Service) {
		service.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		service.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(int32(600))}}
		service.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	}
	s.editService("web", advised)
	lab.Await(s.t.Context(), s.t, "one pod to answer, that sees the client", func(ctx context.Context) (bool, string, error) {
		answer, err := s.Ask(ctx, lab.Client, url(addr))
		pods := s.answering(addr)
		return err == nil && len(pods) == 1 && strings.HasPrefix(answer.Client, s.Addr4(lab.Client).String()+":"), fmt.Sprintf("%v, %+v, %v", pods, answer, err), nil
	})
	s.service("advised", forPods("web"), advised, annotations(map[string]string{current + "persistence-timeout": "600", current + "preserve-client-ip": "on"}))
	s.awaitAnswer(lab.Client, s.awaitCount("advised", 1)[0])
	if told := s.warnings(s.t.Context(), "advised"); len(told) > 0 {
		s.t.Errorf("warnings %q about what is as it was advised", told)
	}
}

// answering returns the pods that answer 20 requests of the client.
func (s *space) answering(addr netip.Addr) map[string]int {
	pods := map[string]int{}
	for range 20 {
		if answer, err := s.Ask(s.t.Context(), lab.Client, url(addr)); err == nil {
			pods[answer.Pod]++
		}
	}
	return pods
}

// manifestOfKubeVIP asks for an address, and for the interface that it is announced on.
func manifestOfKubeVIP(s *space) {
	first, _ := s.onSegment()
	asked := first.Next()
	s.backends("n2")
	s.service("web", annotations(map[string]string{
		"kube-vip.io/loadbalancerIPs": asked.String(), "kube-vip.io/serviceInterface": "eth0", "kube-vip.io/vipHost": "n3",
	}))
	s.awaitAddresses("web", asked)
	s.awaitAnswer(lab.Client, asked)
	s.awaitWarning("web", settings.ReasonIgnored, "kube-vip.io/vipHost")
	s.editService("web", annotated("kube-vip.io/serviceInterface", "eth9"))
	s.awaitNobody(asked)
	s.wantAddresses("web", asked)
}
