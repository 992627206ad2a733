// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

const gatewayPeer = `apiVersion: fairlead.dev/v1alpha1
kind: BGPPeer
metadata: {name: gateway}
spec:
  peerDiscovery: DefaultGatewayIPv4
  peerASN: 64500
  localASN: 64512
  localASNFrom: {nodeAnnotation: fairlead.dev/bgp-local-asn}
  connectRetry: 2s
  nodeSelector: {matchLabels: {kubernetes.io/hostname: n1}}
`

// discovered has n1 speak with its default gateway, which is tor-a at another address, under an ASN of its own, and
// announces a Service with a health check there alone. That n1 probes shows that the session counts under the name of
// its BGPPeer.
func discovered(t *testing.T, c *cloud, _ addresses) {
	ctx := t.Context()
	neighbor := "neighbor " + c.Addr4("n1").String()
	must(t, c.frr.Configure(ctx, fmt.Sprintf(`router bgp 64500
 %[1]s remote-as 64601
 address-family ipv4 unicast
  %[1]s route-map from-nodes in
  %[1]s route-map to-nodes out
 exit-address-family
 address-family ipv6 unicast
  %[1]s activate
  %[1]s route-map from-nodes in
  %[1]s route-map to-nodes out
 exit-address-family
`, neighbor)))
	c.patchNode(t, "n1", `{"annotations":{"fairlead.dev/bgp-local-asn":"64601"}}`)
	must(t, c.Apply(ctx, gatewayPeer))
	addrs := c.service(t, "discovering", app("web"), checked, annotated(map[string]string{"bgp-peers": "gateway"}))
	c.awaitHopsAt(t, c.routers[:1], addrs, "n1")
	c.awaitHopsAt(t, c.routers[1:], addrs)
	for _, addr := range addrs {
		c.awaitFRR(t, addr, map[string]string{"n1": "64601"}, func(p frrPath) string { return p.ASPath.String })
		c.awaitAnswers(t, c.routers[0], addr, "web-n1", "web-n2", "web-n3")
	}
	c.awaitProbes(t, map[string]int32{"n1": 2})

	must(t, c.fairlead.FairleadV1alpha1().BGPPeers().Delete(ctx, "gateway", metav1.DeleteOptions{}))
	c.awaitHops(t, addrs)
	c.awaitProbes(t, nil)
	c.deleteService(t, "discovering")
	must(t, c.frr.Configure(ctx, "router bgp 64500\n no "+neighbor+"\n"))
	c.patchNode(t, "n1", `{"annotations":{"fairlead.dev/bgp-local-asn":null}}`)
}

// awaitProbes waits until just these nodes say that they run so many health checks, and that none fails.
func (c *cloud) awaitProbes(t *testing.T, want map[string]int32) {
	t.Helper()
	lab.Await(t.Context(), t, fmt.Sprintf("health checks of nodes: %v", want), func(ctx context.Context) (bool, string, error) {
		list, err := c.fairlead.FairleadV1alpha1().Announcers().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", err
		}
		ok, detail := true, ""
		for i := range list.Items {
			a := &list.Items[i]
			running, failing := int32(0), int32(0)
			if h := a.Status.HealthChecks; h != nil {
				running, failing = h.Running, h.Failing
			}
			detail += fmt.Sprintf("%s: %d run, %d fail; ", a.Name, running, failing)
			ok = ok && running == want[a.Name] && failing == 0
		}
		return ok, detail, nil
	})
}

// cordoned has a Service leave a node that is cordoned, with those that do not stay there: as from a drained node,
// without one request lost.
func cordoned(t *testing.T, c *cloud, web addresses) {
	ctx := t.Context()
	addrs := c.service(t, "wary", app("web"), annotated(map[string]string{"leave-on-cordon": "on", "drain-timeout": "4"}))
	c.awaitHops(t, addrs, c.Nodes()...)
	clients := c.clients(t, addrs)
	_, err := c.Kubectl(ctx, "cordon", "n2")
	must(t, err)
	c.awaitLastResort(t, addrs, web)
	c.awaitHops(t, addrs, "n1", "n3")
	c.awaitWithdrawn(t, addrs)
	c.awaitHops(t, web, c.Nodes()...)
	_, err = c.Kubectl(ctx, "uncordon", "n2")
	must(t, err)
	c.awaitHops(t, addrs, c.Nodes()...)
	for _, x := range clients {
		x.end(t)
	}
	c.deleteService(t, "wary")
}
