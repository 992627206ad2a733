// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestFaults takes one lab through all faults; each part leaves it whole.
func TestFaults(t *testing.T) {
	l := ForTest(t, Config{ControllerManagerArgs: []string{"--node-monitor-grace-period=12s", "--node-monitor-period=1s"}})
	pods := startWeb(t.Context(), t, l, "n1", "n2")
	service := webService(t.Context(), t, l, corev1.ServiceTypeNodePort)
	url := func(node string) string {
		return fmt.Sprintf("http://%s:%d", l.Addr4(node), service.Spec.Ports[0].NodePort)
	}
	awaitAnswers(t.Context(), t, l, Client, url("n3"), "web-1", "web-2")

	t.Run("a lost SYN, and late answers", func(t *testing.T) { testFirstSYN(t, l, url("n3"), pods) })
	t.Run("a cut cable and its repair", func(t *testing.T) { testCutLink(t, l, url("n1")) })
	t.Run("partition and heal", func(t *testing.T) { testPartition(t, l) })
	t.Run("readiness", func(t *testing.T) { testReadiness(t, l, url("n3"), pods[1]) })
	t.Run("the API server away and back", func(t *testing.T) { testAPIServerAway(t, l, url("n3")) })
	t.Run("ARP of another station", func(t *testing.T) { testARP(t, l) })
	t.Run("NDP of another station", func(t *testing.T) { testNDP(t, l) })
	t.Run("a second router", func(t *testing.T) { testRouters(t, l, url("n3")) })
	t.Run("power off and on", func(t *testing.T) { testPowerOff(t, l, url("n3")) })
	t.Run("crash and return", func(t *testing.T) { testCrash(t, l, url("n3")) })
}

// testFirstSYN shows that a probe tells a single SYN that is lost, whichever way, and no answer that is only late.
func testFirstSYN(t *testing.T, l *Lab, url string, pods []*Pod) {
	ctx := t.Context()
	probe, err := l.ProbeHTTP(ctx, Client, url, ProbeOptions{Timeout: time.Minute, FirstSYN: true})
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Stop()
	for i, lost := range []string{"output", "input"} {
		began := time.Now()
		awaitSuccesses(ctx, t, probe, began)
		_, err := l.Exec(ctx, Client, "nft", fmt.Sprintf(`add table inet fault
add chain inet fault lose { type filter hook %s priority 0; }
add rule inet fault lose tcp flags & syn == syn limit rate 1/hour burst 1 packets drop`, lost))
		if err != nil {
			t.Fatal(err)
		}
		Await(ctx, t, "the loss to be told", func(context.Context) (bool, string, error) {
			n := probe.Attempts().Failures()
			return n > i, fmt.Sprintf("%d failures", n), nil
		})
		if _, err := l.Exec(ctx, Client, "nft", "delete table inet fault"); err != nil {
			t.Fatal(err)
		}
		awaitSuccesses(ctx, t, probe, time.Now())
	}
	for _, pod := range pods {
		pod.Process().Pause()
		defer pod.Process().Resume()
	}
	paused := time.Now()
	Await(ctx, t, "requests to be late", func(context.Context) (bool, string, error) { return time.Since(paused) > 2*time.Second, "", nil })
	for _, pod := range pods {
		pod.Process().Resume()
	}
	awaitSuccesses(ctx, t, probe, paused)
	all := probe.Stop()
	if all.Failures() != 2 || all.LongestGap() < time.Second {
		t.Errorf("%d of %d failed, longest gap %s: want the two that were lost, and answers that were late", all.Failures(), len(all), all.LongestGap())
	}
	for _, one := range all {
		if !one.OK && !strings.Contains(one.Err, "SYN was sent anew 1 times") {
			t.Errorf("a request failed after %s: %s", one.End.Sub(one.Start), one.Err)
		}
	}
}

func testCutLink(t *testing.T, l *Lab, url string) {
	ctx := t.Context()
	probe, err := l.ProbeHTTP(ctx, Client, url, ProbeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Stop()
	awaitSuccesses(ctx, t, probe, time.Time{})
	if err := l.CutLink("n1"); err != nil {
		t.Fatal(err)
	}
	cut := time.Now()
	Await(ctx, t, "requests to fail", func(context.Context) (bool, string, error) {
		n := probe.Attempts().Since(cut).Failures()
		return n >= 10, fmt.Sprintf("%d failures", n), nil
	})
	if err := l.RestoreLink("n1"); err != nil {
		t.Fatal(err)
	}
	awaitSuccesses(ctx, t, probe, time.Now())
	if all := probe.Stop(); all.LongestGap() < 100*time.Millisecond {
		t.Errorf("longest gap %s with %d of %d failed, want the time of the cut", all.LongestGap(), all.Failures(), len(all))
	}
}

// awaitSuccesses waits until ten requests of a probe that began since then have succeeded.
func awaitSuccesses(ctx context.Context, t *testing.T, p *Probe, since time.Time) {
	t.Helper()
	const want = 10
	Await(ctx, t, "requests to succeed", func(context.Context) (bool, string, error) {
		a := p.Attempts().Since(since)
		return len(a)-a.Failures() >= want, fmt.Sprintf("%d of %d failed", a.Failures(), len(a)), nil
	})
}

// awaitReached waits until connections get through to a node's kube-proxy.
func awaitReached(ctx context.Context, t *testing.T, l *Lab, from, to string) {
	t.Helper()
	Await(ctx, t, from+" to reach "+to, func(ctx context.Context) (bool, string, error) {
		return reaches(ctx, l, from, to), "no connection", nil
	})
}

// reaches says whether connections get through to a node's kube-proxy, over both families, at once.
func reaches(ctx context.Context, l *Lab, from, to string) bool {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	for _, a := range []netip.Addr{l.Addr4(to), l.Addr6(to)} {
		conn, err := l.Dial(ctx, from, "tcp", net.JoinHostPort(a.String(), "10256"))
		if err != nil {
			return false
		}
		_ = conn.Close()
	}
	return true
}

func testPartition(t *testing.T, l *Lab) {
	ctx := t.Context()
	if err := l.Partition(ctx, []string{"n1"}, []string{"n2", "n3"}); err != nil {
		t.Fatal(err)
	}
	want := map[[2]string]bool{
		{"n1", "n2"}: false, {"n2", "n1"}: false, {"n3", "n1"}: false, {"n2", "n3"}: true, {Client, "n1"}: true, {Client, "n2"}: true,
	}
	for pair, ok := range want {
		if ok {
			awaitReached(ctx, t, l, pair[0], pair[1])
		} else if reaches(ctx, l, pair[0], pair[1]) {
			t.Errorf("%s reaches %s", pair[0], pair[1])
		}
	}
	if err := l.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	for pair := range want {
		awaitReached(ctx, t, l, pair[0], pair[1])
	}
}

func testReadiness(t *testing.T, l *Lab, url string, p *Pod) {
	ctx := t.Context()
	if err := l.SetPodReady(ctx, p, false); err != nil {
		t.Fatal(err)
	}
	awaitAnswers(ctx, t, l, Client, url, "web-1")
	if err := l.SetPodReady(ctx, p, true); err != nil {
		t.Fatal(err)
	}
	awaitAnswers(ctx, t, l, Client, url, "web-1", "web-2")
}

func testAPIServerAway(t *testing.T, l *Lab, url string) {
	ctx := t.Context()
	l.StopAPIServer()
	if _, err := l.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{}); err == nil {
		t.Error("the API server still answers")
	}
	awaitAnswers(ctx, t, l, Client, url, "web-1", "web-2")
	if err := l.StartAPIServer(ctx); err != nil {
		t.Fatal(err)
	}
	if nodes, err := l.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{}); err != nil || len(nodes.Items) != 3 {
		t.Errorf("nodes after the return: %v, %v", nodes, err)
	}
}

// testARP lets a station take an address of the pool, and watches the client ask for it.
func testARP(t *testing.T, l *Lab) {
	ctx := t.Context()
	if err := l.AddHost("intruder"); err != nil {
		t.Fatal(err)
	}
	addr := l.Pool4().First
	if err := l.AddAddress("intruder", netip.PrefixFrom(addr, 24)); err != nil {
		t.Fatal(err)
	}
	capture, err := l.CaptureARP(Client)
	if err != nil {
		t.Fatal(err)
	}
	defer capture.Stop()
	if _, err := l.HTTPGet(ctx, Client, "http://"+addr.String()); err == nil {
		t.Error("somebody answers HTTP at the intruder's address")
	}
	mac, err := l.MAC("intruder")
	if err != nil {
		t.Fatal(err)
	}
	if known, err := l.Neighbor(Client, addr); err != nil || known.String() != mac.String() {
		t.Errorf("the client has %s for %s, want %s (%v)", known, addr, mac, err)
	}
	Await(ctx, t, "the reply in the capture", func(context.Context) (bool, string, error) {
		seen := capture.Seen(addr)
		return len(seen) == 1 && seen[0].Reply && !seen[0].Gratuitous() && seen[0].SenderHW.String() == mac.String(), fmt.Sprint(seen), nil
	})
	if err := l.FlushNeighbors(Client); err != nil {
		t.Fatal(err)
	}
	if known, err := l.Neighbor(Client, addr); err != nil || known != nil {
		t.Errorf("the client still has %s for %s (%v)", known, addr, err)
	}
	if err := l.RemoveAddress("intruder", netip.PrefixFrom(addr, 24)); err != nil {
		t.Fatal(err)
	}
}

// testNDP is testARP for IPv6; it uses the station that testARP has added.
func testNDP(t *testing.T, l *Lab) {
	ctx := t.Context()
	addr := l.Pool6().First
	if err := l.AddAddress("intruder", netip.PrefixFrom(addr, 64)); err != nil {
		t.Fatal(err)
	}
	capture, err := l.CaptureNDP(Client)
	if err != nil {
		t.Fatal(err)
	}
	defer capture.Stop()
	if _, err := l.HTTPGet(ctx, Client, "http://["+addr.String()+"]"); err == nil {
		t.Error("somebody answers HTTP at the intruder's address")
	}
	mac, err := l.MAC("intruder")
	if err != nil {
		t.Fatal(err)
	}
	Await(ctx, t, "the advertisement in the capture", func(context.Context) (bool, string, error) {
		seen := capture.Seen(addr)
		return len(seen) == 1 && seen[0].Solicited && seen[0].TargetHW.String() == mac.String(), fmt.Sprint(seen), nil
	})
	if err := l.RemoveAddress("intruder", netip.PrefixFrom(addr, 64)); err != nil {
		t.Fatal(err)
	}
}

func testPowerOff(t *testing.T, l *Lab, url string) {
	ctx := t.Context()
	proxy, err := l.KubeProxy("n1")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.PowerOffNode(ctx, "n1"); err != nil {
		t.Fatal(err)
	}
	if !proxy.Exited() || reaches(ctx, l, "n2", "n1") {
		t.Error("the node is off, but kube-proxy runs or the node is reached")
	}
	if err := l.RestoreNode(ctx, "n1"); err != nil {
		t.Fatal(err)
	}
	awaitAnswers(ctx, t, l, Client, url, "web-1", "web-2")
	awaitAnswers(ctx, t, l, "n1", "http://"+l.podService(ctx, t), "web-1", "web-2")
}

// podService returns the ClusterIP of the Service web, and its port.
func (l *Lab) podService(ctx context.Context, t *testing.T) string {
	t.Helper()
	s, err := l.Client().CoreV1().Services("default").Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Spec.ClusterIP + ":80"
}

// testCrash shows that Kubernetes takes a crashed node's pods out, and puts them back in when the node returns.
func testCrash(t *testing.T, l *Lab, url string) {
	ctx := t.Context()
	if err := l.CrashNode("n2"); err != nil {
		t.Fatal(err)
	}
	awaitNodeReady(ctx, t, l, "n2", corev1.ConditionUnknown)
	awaitAnswers(ctx, t, l, Client, url, "web-1")
	if err := l.RestoreNode(ctx, "n2"); err != nil {
		t.Fatal(err)
	}
	awaitNodeReady(ctx, t, l, "n2", corev1.ConditionTrue)
	awaitAnswers(ctx, t, l, Client, url, "web-1", "web-2")
}

func awaitNodeReady(ctx context.Context, t *testing.T, l *Lab, name string, want corev1.ConditionStatus) {
	t.Helper()
	Await(ctx, t, fmt.Sprintf("Ready=%s on node %s", want, name), func(ctx context.Context) (bool, string, error) {
		node, err := l.Client().CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady {
				return c.Status == want, string(c.Status), nil
			}
		}
		return false, "no such condition", nil
	})
}
