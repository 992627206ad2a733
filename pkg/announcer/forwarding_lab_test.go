// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"net/netip"
	"os/exec"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/e2e/netnstest"
)

// inNamespace runs the rest of the test in a network namespace of its own, prepared by commands.
func inNamespace(t *testing.T, commands ...[]string) {
	t.Helper()
	netnstest.Enter(t)
	for _, c := range commands {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", c, err, out)
		}
	}
}

func TestTranslationIsToldFromItsAbsence(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft, to stand for kube-proxy")
	}
	inNamespace(t,
		[]string{"ip", "link", "set", "lo", "up"},
		[]string{"ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far"},
		[]string{"ip", "addr", "add", "10.7.0.1/24", "dev", "eth0"},
		[]string{"ip", "link", "set", "far", "up"},
		[]string{"ip", "link", "set", "eth0", "up"},
		[]string{"nft", "add table ip t; " +
			"add chain ip t out { type nat hook output priority -100; }; " +
			"add chain ip t filter { type filter hook output priority 0; }; " +
			"add rule ip t out ip daddr 10.7.0.100 tcp dport 80 dnat to 10.244.1.2:8080; " +
			"add rule ip t out ip daddr 10.7.0.100 udp dport 53 dnat to 10.244.1.2:53; " +
			"add rule ip t filter ip daddr 10.7.0.101 reject; " +
			"add rule ip t filter ip daddr 10.7.0.102 drop"},
	)
	for _, tc := range []struct {
		name, addr string
		protocol   corev1.Protocol
		port       uint16
		want       bool
	}{
		{"TCP translated", "10.7.0.100", corev1.ProtocolTCP, 80, true},
		{"UDP translated", "10.7.0.100", corev1.ProtocolUDP, 53, true},
		{"no endpoints: rejected", "10.7.0.101", corev1.ProtocolTCP, 80, true},
		{"source not allowed: dropped", "10.7.0.102", corev1.ProtocolTCP, 80, true},
		{"another port", "10.7.0.100", corev1.ProtocolTCP, 81, false},
		{"TCP not translated", "10.7.0.103", corev1.ProtocolTCP, 80, false},
		{"UDP not translated", "10.7.0.103", corev1.ProtocolUDP, 53, false},
	} {
		got, err := looksForwarded(t.Context(), netip.MustParseAddr(tc.addr), portOf{tc.protocol, tc.port})
		if err != nil || got != tc.want {
			t.Errorf("%s: forwarded %v, %v; want %v", tc.name, got, err, tc.want)
		}
	}
}
