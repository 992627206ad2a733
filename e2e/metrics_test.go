// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// awaitMetric waits until the cloud controller manager of the shared lab exports a line. It is read as a monitoring system
// reads it: by a ServiceAccount whose only right is to get /metrics.
func (s *space) awaitMetric(line string) {
	s.t.Helper()
	rights := fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: scrape-%[1]s}
rules: [{nonResourceURLs: [/metrics], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: scrape-%[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: scrape-%[1]s}
subjects: [{kind: ServiceAccount, name: monitoring, namespace: %[1]s}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: monitoring, namespace: %[1]s}
`, s.namespace)
	if err := s.Apply(s.t.Context(), rights); err != nil {
		s.t.Fatal(err)
	}
	kubeconfig, err := s.ServiceAccountKubeconfig(s.t.Context(), s.namespace, "monitoring", "")
	if err != nil {
		s.t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		s.t.Fatal(err)
	}
	family, _, _ := strings.Cut(line, "{")
	lab.Await(s.t.Context(), s.t, "metric "+line, func(ctx context.Context) (bool, string, error) {
		text, err := s.scrape(ctx, config.BearerToken)
		if err != nil {
			return false, err.Error(), nil
		}
		var near []string
		for got := range strings.Lines(text) {
			if strings.TrimSpace(got) == line {
				return true, "", nil
			}
			if strings.HasPrefix(got, family) {
				near = append(near, got)
			}
		}
		return false, strings.Join(near, ""), nil
	})
}

// scrape returns the metrics of the first cloud controller manager of the lab.
func (c *cloud) scrape(ctx context.Context, token string) (string, error) {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return c.Dial(ctx, lab.ControlPlane, network, address)
		},
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // the manager signs its certificate itself
		DisableKeepAlives: true,
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://127.0.0.1:10258/metrics", nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("reading the metrics: %s: %s", response.Status, body)
	}
	return string(body), err
}
