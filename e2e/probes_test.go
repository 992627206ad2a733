// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// probed is a Service with a health check, and its pod's ways to fail.
type probed struct {
	name        string
	annotations map[string]string
	port        corev1.ServicePort // that clients ask
	ask         func(ctx context.Context, at netip.AddrPort) error
	// fail has the pod fail what comes by way of a node, one way first and the other the second time.
	fail func(node netip.Addr, second bool) (heal func())
	// says is what the node tells of each failure; none where there is no health check.
	says [2]string
}

// quick are the annotations of a health check of ours that is quick to judge, with more of them.
func quick(more ...string) map[string]string {
	all := map[string]string{}
	for _, one := range append(more, "interval=1", "timeout=1", "healthy-threshold=2", "unhealthy-threshold=2") {
		key, value, _ := strings.Cut(one, "=")
		all[settings.Prefix+"health-check-"+key] = value
	}
	return all
}

// quickElsewhere is quick in Alibaba Cloud's words.
func quickElsewhere(more ...string) map[string]string {
	all := map[string]string{}
	for _, one := range append(more, "health-check-interval=1", "healthy-threshold=2", "unhealthy-threshold=3") {
		key, value, _ := strings.Cut(one, "=")
		all[current+key] = value
	}
	return all
}

// switched adds the switch of ours to annotations, and one of Alibaba Cloud's that says the contrary and loses.
func switched(all map[string]string, own, elsewhere string) map[string]string {
	all[settings.HealthCheckKey], all[current+"health-check-switch"] = own, elsewhere
	return all
}

// probedServices returns a Service for each type of probe, and three whose health check is off.
func (s *space) probedServices(pod *lab.Pod) (all []probed, v *shop) {
	s.t.Helper()
	v = s.open(pod)
	served := func(server string) func(netip.Addr, bool) func() {
		return func(node netip.Addr, second bool) func() {
			v.fail(server, node, map[bool]failure{false: says, true: hangs}[second])
			return func() { v.fail(server, node, fits) }
		}
	}
	filtered := func(protocol, first, second string) func(netip.Addr, bool) func() {
		return func(node netip.Addr, again bool) func() {
			return s.filter(pod, protocol, node, map[bool]string{false: first, true: second}[again])
		}
	}
	web := func(scheme string) func(context.Context, netip.AddrPort) error {
		return func(ctx context.Context, at netip.AddrPort) error { return s.askWeb(ctx, scheme, at) }
	}
	udp := func(ctx context.Context, at netip.AddrPort) error {
		_, err := s.AskUDP(ctx, lab.Client, at.String())
		return err
	}
	port := func(number int32, target int) corev1.ServicePort {
		return corev1.ServicePort{Name: "asked", Port: number, TargetPort: intstr.FromInt(target), Protocol: corev1.ProtocolTCP}
	}
	datagrams := corev1.ServicePort{Name: "asked", Port: 53, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolUDP}
	return []probed{
		{
			"tcp", quickElsewhere("health-check-switch=on", "health-check-type=tcp", "health-check-connect-timeout=1"), port(80, 8080),
			web("http"), filtered("tcp", "reject with tcp reset", "drop"),
			[2]string{"connection refused", "no answer in time (1s)"},
		},
		{
			"udp", quickElsewhere("health-check-switch=on", "health-check-type=udp"), datagrams,
			udp, filtered("udp", "reject", "reject"),
			[2]string{"connection refused", "connection refused"},
		},
		// Port 80 would pass, and so would any other request, and the status that the failing server answers with.
		{
			"http", quickElsewhere("protocol-port=http:80,http:81", "health-check-flag=on", "health-check-type=http",
				"health-check-uri=/healthz", "health-check-domain="+shopHost, "health-check-method=head", "health-check-httpcode=http_2xx",
				"health-check-connect-port=8081", "health-check-timeout=1"), port(81, shopHTTP),
			web("http"), served("http"),
			[2]string{"status 302, want 200-299", "no answer in time (1s)"},
		},
		{
			"https", switched(quick("type=https", "port=443", "path=/healthz", "host="+shopHost, "codes=204"), "on", "off"), port(443, shopHTTPS),
			web("https"), served("https"),
			[2]string{"status 503, want 204", "no answer in time (1s)"},
		},
		{
			"grpc", quick("type=grpc", "path="+shopCart, "host="+shopHost), port(90, shopGRPC),
			s.askCart, served("grpc"),
			[2]string{"status NOT_SERVING, want SERVING", "no answer in time (1s)"},
		},
		{
			"off", quickElsewhere("protocol-port=http:81", "health-check-flag=off", "health-check-type=http", "health-check-uri=/healthz"),
			port(81, shopUnchecked), web("http"), served("off"),
			[2]string{},
		},
		{
			"switched-off", quickElsewhere("health-check-switch=off", "health-check-type=tcp"),
			port(81, shopUnchecked), web("http"), served("off"),
			[2]string{},
		},
		{
			"off-by-us", switched(quick("type=http", "path=/healthz"), "off", "on"),
			port(81, shopUnchecked), web("http"), served("off"),
			[2]string{},
		},
	}, v
}

// filter has a pod's packet filter judge what comes by way of a node.
func (s *space) filter(pod *lab.Pod, protocol string, node netip.Addr, verdict string) (heal func()) {
	s.t.Helper()
	do := func(ctx context.Context, script string) {
		s.t.Helper()
		if _, err := s.Exec(ctx, pod.Host(), "nft", script); err != nil {
			s.t.Fatal(err)
		}
	}
	table := "ip fault-" + protocol
	do(s.t.Context(), fmt.Sprintf("add table %[1]s; add chain %[1]s in { type filter hook input priority 0; }; add rule %[1]s in ip saddr %[2]s %[3]s dport 8080 %[4]s",
		table, node, protocol, verdict))
	return func() { do(context.WithoutCancel(s.t.Context()), "delete table "+table) }
}

// probesOfEveryType has the pod of Services with each type of probe fail by way of the node that announces them, and then by
// way of the one that has taken over. What has no health check stays where it is, unanswered.
func probesOfEveryType(s *space) {
	s.onSegment()
	pod := s.backends("n2")[0]
	// Refusals are told by ICMP, which the kernel otherwise limits to one a second.
	if _, err := s.Exec(s.t.Context(), pod.Host(), "sh", "-c", "echo 0 >/proc/sys/net/ipv4/icmp_ratelimit"); err != nil {
		s.t.Fatal(err)
	}
	all, v := s.probedServices(pod)
	at, first := map[string]netip.AddrPort{}, map[string]string{}
	for _, one := range all {
		s.service(one.name, forPods("web"), annotations(one.annotations), annotated(settings.NodesKey, "kubernetes.io/hostname in (n1,n3)"),
			func(service *corev1.Service) {
				if one.name == "http" || one.name == "https" { // the first port speaks something else
					service.Spec.Ports = append(service.Spec.Ports, one.port)
				} else {
					service.Spec.Ports = []corev1.ServicePort{one.port}
				}
			})
	}
	for _, one := range all {
		at[one.name] = netip.AddrPortFrom(s.awaitCount(one.name, 1)[0], uint16(one.port.Port))
		s.awaitAsked(one, at[one.name])
		first[one.name] = s.speaker(at[one.name].Addr())
	}
	s.blipsAreForgiven(v, at["http"].Addr(), first["http"])
	s.failAll(all, at, first, false)
	for _, node := range []string{"n1", "n3"} {
		s.awaitAllPass(node)
	}
	second := map[string]string{}
	for _, one := range all {
		second[one.name] = s.speaker(at[one.name].Addr())
	}
	s.failAll(all, at, second, true)
	for _, one := range all {
		if now := s.speaker(at[one.name].Addr()); now != first[one.name] {
			s.t.Errorf("%s is back at %s, want %s", one.name, now, first[one.name])
		}
	}
	if took := v.quickest(s.Addr4(first["http"])); took > 1500*time.Millisecond {
		s.t.Errorf("%s between two probes of one node, want 1 s as the annotation says", took)
	}
}

// failAll has all Services fail by way of the nodes that announce them, and heals them when others do. Those without a
// health check stay.
func (s *space) failAll(all []probed, at map[string]netip.AddrPort, owners map[string]string, again bool) {
	s.t.Helper()
	var heal []func()
	for _, one := range all {
		heal = append(heal, one.fail(s.Addr4(owners[one.name]), again))
	}
	for _, one := range all {
		addr, owner := at[one.name].Addr(), owners[one.name]
		if one.says[0] == "" {
			err := one.ask(s.t.Context(), at[one.name])
			if now := s.speaker(addr); now != owner || err == nil {
				s.t.Errorf("%s has no health check, and went from %s to %s; asked: %v", one.name, owner, now, err)
			}
			continue
		}
		s.awaitFailing(owner, addr, s.namespace+"/"+one.name, one.says[map[bool]int{true: 1}[again]])
		lab.Await(s.t.Context(), s.t, one.name+" to leave "+owner, func(context.Context) (bool, string, error) {
			now := s.speaker(addr)
			return now != "" && now != owner, now, nil
		})
		s.awaitAsked(one, at[one.name])
		for range 5 {
			if err := one.ask(s.t.Context(), at[one.name]); late(err) {
				s.awaitAsked(one, at[one.name])
			} else if err != nil {
				s.t.Errorf("%s fails still: %v", one.name, err)
			}
		}
		s.awaitHealthy(addr, metav1.ConditionTrue)
	}
	for _, f := range heal {
		f()
	}
}

// blipsAreForgiven: one failure less than the threshold changes nothing.
func (s *space) blipsAreForgiven(v *shop, addr netip.Addr, owner string) {
	s.t.Helper()
	node := s.Addr4(owner)
	lab.Await(s.t.Context(), s.t, "the first health check, which counts by itself", func(context.Context) (bool, string, error) {
		_, passed := v.blipped(node)
		return passed > 0, "", nil
	})
	s.awaitHealthy(addr, metav1.ConditionTrue)
	before := s.wantVIP(addr).Status
	v.mu.Lock()
	v.blips[node] = 2
	v.mu.Unlock()
	lab.Await(s.t.Context(), s.t, "two health checks to fail and the next to pass", func(context.Context) (bool, string, error) {
		left, passed := v.blipped(node)
		return left == 0 && passed > 0, fmt.Sprintf("%d left, %d passed", left, passed), nil
	})
	if after := s.wantVIP(addr).Status; after.Node != before.Node || after.Term != before.Term {
		s.t.Errorf("two failures moved the address from %s (term %d) to %s (term %d)", before.Node, before.Term, after.Node, after.Term)
	}
}

// late tells whether nobody answered a client in the time that it waits, which may be a busy machine's fault.
func late(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() || status.Code(err) == codes.DeadlineExceeded
}

// awaitAsked waits until the client of a Service gets an answer.
func (s *space) awaitAsked(one probed, at netip.AddrPort) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, fmt.Sprintf("an answer from %s at %s", one.name, at), func(ctx context.Context) (bool, string, error) {
		err := one.ask(ctx, at)
		return err == nil, fmt.Sprint(err), nil
	})
}
