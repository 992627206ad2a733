// SPDX-License-Identifier: Apache-2.0

// Package bgp tests announcing by BGP end to end: FRR in the lab's router, its kernel's multipath routes, and a client
// behind it.
package bgp

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

const (
	nodeASN, routerASN = 64512, 64500
	pool4, pool6       = "10.98.0.0/28", "fd98::/124"
)

type cloud struct {
	*lab.Lab
	t        *testing.T
	fairlead versioned.Interface
}

func TestBGP(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the lab makes network namespaces, which needs root")
	}
	if _, err := os.Stat("/usr/lib/frr/bgpd"); err != nil {
		t.Skip("FRR is missing: install the package frr")
	}
	c := &cloud{Lab: lab.ForTest(t, lab.Config{}), t: t}
	ctx := t.Context()
	must(t, c.ApplyManifests(ctx))
	var err error
	c.fairlead, err = versioned.NewForConfig(c.RESTConfig())
	must(t, err)
	c.frr()
	c.objects(ctx)
	_, err = c.StartCCM(ctx, "ccm", lab.CCMOptions{ExtraArgs: []string{"--leader-elect=false"}})
	must(t, err)
	must(t, c.StartAnnouncers(ctx))
	for _, node := range c.Nodes() {
		_, err := c.StartPod(ctx, lab.PodSpec{Name: "web-" + node, Node: node, Labels: map[string]string{"app": "web"}})
		must(t, err)
	}
	four, six := c.service(ctx, "web", corev1.ServiceExternalTrafficPolicyCluster)
	c.awaitHops(ctx, four, c.Nodes()...)
	c.awaitHops(ctx, six, c.Nodes()...)

	t.Run("traffic from afar", func(t *testing.T) { c.traffic(t, four, six) })
	t.Run("status", c.status)
	t.Run("restart of an announcer", func(t *testing.T) { c.restart(t, four) })
	t.Run("drained node", func(t *testing.T) { c.drained(t, four) })
	t.Run("endpoint gone", c.endpointGone)
	t.Run("crashed node", func(t *testing.T) { c.crashed(t, four) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// frr runs a router in the lab's: one session with each node, BFD, and all paths of equal cost.
func (c *cloud) frr() {
	c.t.Helper()
	dir, err := os.MkdirTemp("", "fairlead-frr-")
	must(c.t, err)
	c.t.Cleanup(func() { os.RemoveAll(dir) })
	if out, err := exec.Command("chown", "frr:frr", dir).CombinedOutput(); err != nil {
		c.t.Fatalf("%v: %s", err, out)
	}
	config := fmt.Sprintf("router bgp %d\n bgp router-id %s\n no bgp ebgp-requires-policy\n bgp graceful-restart\n", routerASN, c.Addr4(lab.Router))
	families := map[string]string{}
	for _, node := range c.Nodes() {
		a := c.Addr4(node)
		config += fmt.Sprintf(" neighbor %[1]s remote-as %[2]d\n neighbor %[1]s bfd 3 100 100\n", a, nodeASN)
		families["ipv6"] += fmt.Sprintf("  neighbor %s activate\n", a)
	}
	config += " address-family ipv4 unicast\n  maximum-paths 16\n exit-address-family\n address-family ipv6 unicast\n  maximum-paths 16\n" +
		families["ipv6"] + " exit-address-family\n"
	for _, name := range []string{"zebra", "bfdd", "bgpd"} {
		file := filepath.Join(dir, name+".conf")
		text := ""
		if name == "bgpd" {
			text = config
		}
		must(c.t, os.WriteFile(file, []byte(text), 0o644))
		args := []string{
			"-f", file, "-i", filepath.Join(dir, name+".pid"), "-z", filepath.Join(dir, "zserv.api"),
			"--vty_socket", dir, "-P", "0", "--log", "stdout",
		}
		if name == "bfdd" {
			args = append(args, "--bfdctl", filepath.Join(dir, "bfdd.sock"))
		}
		_, err := c.StartProcess(lab.Router, lab.Command{Name: name, Path: "/usr/lib/frr/" + name, Args: args})
		must(c.t, err)
		lab.Await(c.t.Context(), c.t, name, func(context.Context) (bool, string, error) {
			_, err := os.Stat(filepath.Join(dir, name+".vty"))
			return err == nil, fmt.Sprint(err), nil
		})
	}
}

// objects makes a pool that only BGP can announce, and the peer.
func (c *cloud) objects(ctx context.Context) {
	c.t.Helper()
	api := c.fairlead.FairleadV1alpha1()
	_, err := api.AddressPools().Create(ctx, &v1alpha1.AddressPool{
		ObjectMeta: metav1.ObjectMeta{Name: "far"},
		Spec: v1alpha1.AddressPoolSpec{
			Addresses: []v1alpha1.AddressRange{pool4, pool6},
			Announce:  []v1alpha1.Announcement{{BGP: &v1alpha1.BGPAnnouncement{Communities: []v1alpha1.Community{"64512:100"}}}},
		},
	}, metav1.CreateOptions{})
	must(c.t, err)
	_, err = api.BGPPeers().Create(ctx, &v1alpha1.BGPPeer{
		ObjectMeta: metav1.ObjectMeta{Name: "router"},
		Spec: v1alpha1.BGPPeerSpec{
			PeerAddress: c.Addr4(lab.Router).String(), PeerASN: routerASN, LocalASN: nodeASN,
			ConnectRetry: &metav1.Duration{Duration: time.Second},
			BFD:          &v1alpha1.BFD{Interval: &metav1.Duration{Duration: 100 * time.Millisecond}, Multiplier: 3}, GracefulRestart: &v1alpha1.GracefulRestart{},
		},
	}, metav1.CreateOptions{})
	must(c.t, err)
}

// service makes one for pods with the label app=name and returns its addresses.
func (c *cloud) service(ctx context.Context, name string, policy corev1.ServiceExternalTrafficPolicy) (four, six string) {
	c.t.Helper()
	both := corev1.IPFamilyPolicyRequireDualStack
	services := c.Client().CoreV1().Services("default")
	_, err := services.Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": name}, IPFamilyPolicy: &both,
			ExternalTrafficPolicy: policy,
			Ports:                 []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}, metav1.CreateOptions{})
	must(c.t, err)
	lab.Await(ctx, c.t, "addresses of "+name, func(ctx context.Context) (bool, string, error) {
		s, err := services.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		for _, in := range s.Status.LoadBalancer.Ingress {
			if strings.Contains(in.IP, ":") {
				six = in.IP
			} else {
				four = in.IP
			}
		}
		return four != "" && six != "", fmt.Sprint(s.Status.LoadBalancer), nil
	})
	return four, six
}

// hops returns the nodes that the router's kernel sends the address's traffic to.
func (c *cloud) hops(ctx context.Context, addr string) ([]string, error) {
	argv := []string{"ip", "route", "show", addr}
	if strings.Contains(addr, ":") {
		argv = []string{"ip", "-6", "route", "show", addr}
	}
	out, err := c.Exec(ctx, lab.Router, argv...)
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(out)
	var nodes []string
	for _, node := range c.Nodes() {
		if slices.Contains(fields, c.Addr4(node).String()) || slices.Contains(fields, c.Addr6(node).String()) {
			nodes = append(nodes, node)
		}
	}
	return nodes, nil
}

func (c *cloud) awaitHops(ctx context.Context, addr string, nodes ...string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 25*time.Second)
	defer cancel()
	lab.Await(ctx, c.t, fmt.Sprintf("next hops of %s: %v", addr, nodes), func(ctx context.Context) (bool, string, error) {
		got, err := c.hops(ctx, addr)
		return slices.Equal(got, nodes), fmt.Sprint(got), err
	})
}

func (c *cloud) traffic(t *testing.T, four, six string) {
	for _, url := range []string{"http://" + four, "http://[" + six + "]"} {
		answered := map[string]bool{}
		lab.Await(t.Context(), t, "answers from several nodes at "+url, func(ctx context.Context) (bool, string, error) {
			a, err := c.Ask(ctx, lab.Far, url)
			if err != nil {
				return false, err.Error(), nil //nolint:nilerr // not yet
			}
			answered[a.Node] = true
			return len(answered) > 1, fmt.Sprint(answered), nil
		})
	}
}

func (c *cloud) status(t *testing.T) {
	lab.Await(t.Context(), t, "the session in the Announcer's status", func(ctx context.Context) (bool, string, error) {
		a, err := c.fairlead.FairleadV1alpha1().Announcers().Get(ctx, "n1", metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		s := a.Status.BGP
		return len(s) == 1 && s[0].Peer == "router" && s[0].State == "Established" && s[0].Prefixes == 2, fmt.Sprintf("%+v", s), nil
	})
}

func (c *cloud) probe(t *testing.T, addr string) *lab.Probe {
	t.Helper()
	p, err := c.ProbeHTTP(t.Context(), lab.Far, "http://"+addr, lab.ProbeOptions{Timeout: time.Second})
	must(t, err)
	return p
}

func (c *cloud) restart(t *testing.T, addr string) {
	ctx := t.Context()
	p := c.probe(t, addr)
	must(t, c.Announcer("n1").Terminate(ctx))
	_, err := c.StartAnnouncer(ctx, "n1")
	must(t, err)
	began := time.Now()
	absent := 0
	lab.Await(ctx, t, "the session again", func(ctx context.Context) (bool, string, error) {
		nodes, err := c.hops(ctx, addr)
		if !slices.Equal(nodes, c.Nodes()) {
			absent++
		}
		a, e := c.fairlead.FairleadV1alpha1().Announcers().Get(ctx, "n1", metav1.GetOptions{})
		if err != nil || e != nil {
			return false, "", fmt.Errorf("%w %w", err, e)
		}
		s := a.Status.BGP
		return time.Since(began) > 4*time.Second && len(s) == 1 && s[0].State == "Established" && s[0].Prefixes == 2, fmt.Sprintf("%+v", s), nil
	})
	attempts := p.Stop()
	t.Logf("restart: %d of %d requests failed, the node was missing from the route in %d looks", attempts.Failures(), len(attempts), absent)
	if attempts.Failures() > 0 || absent > 0 {
		t.Errorf("%d requests failed, node missing %d times", attempts.Failures(), absent)
	}
}

func (c *cloud) annotate(t *testing.T, node, value string) {
	t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{"fairlead.dev/drain":%s}}}`, value)
	_, err := c.Client().CoreV1().Nodes().Patch(t.Context(), node, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	must(t, err)
}

func (c *cloud) drained(t *testing.T, addr string) {
	p := c.probe(t, addr)
	c.annotate(t, "n2", `"true"`)
	c.awaitHops(t.Context(), addr, "n1", "n3")
	c.annotate(t, "n2", `null`)
	c.awaitHops(t.Context(), addr, c.Nodes()...)
	attempts := p.Stop()
	t.Logf("drain: %d of %d requests failed", attempts.Failures(), len(attempts))
	if attempts.Failures() > 0 {
		t.Errorf("%d requests failed", attempts.Failures())
	}
}

func (c *cloud) endpointGone(t *testing.T) {
	ctx := t.Context()
	var pods []*lab.Pod
	for _, node := range []string{"n1", "n2"} {
		pod, err := c.StartPod(ctx, lab.PodSpec{Name: "local-" + node, Node: node, Labels: map[string]string{"app": "local"}})
		must(t, err)
		pods = append(pods, pod)
	}
	four, _ := c.service(ctx, "local", corev1.ServiceExternalTrafficPolicyLocal)
	c.awaitHops(ctx, four, "n1", "n2")
	began := time.Now()
	must(t, c.SetPodReady(ctx, pods[0], false))
	c.awaitHops(ctx, four, "n2")
	t.Logf("endpoint gone: next hop gone after %v", time.Since(began))
}

func (c *cloud) crashed(t *testing.T, addr string) {
	ctx := t.Context()
	began := time.Now()
	must(t, c.CrashNode("n3"))
	c.awaitHops(ctx, addr, "n1", "n2")
	took := time.Since(began)
	t.Logf("crash: next hop gone after %v", took)
	if took > 30*time.Second {
		t.Errorf("the crash was noticed after %v: not by BFD", took)
	}
}
