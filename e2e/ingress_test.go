// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// What the ingress controller listens on, beside the backend that every pod of the lab runs.
const (
	ingressHTTP, ingressHTTPS = 8000, 8443
	ingressDomain             = "example.test"
)

// ingressObjects are what an ingress controller needs, as its own documents have it: what it may read, its class, and an
// Ingress of two hosts with a certificate. The values are namespace, certificate and key.
const ingressObjects = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: traefik, namespace: %[1]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: traefik}
rules:
- {apiGroups: [""], resources: [services, secrets, nodes, namespaces, configmaps], verbs: [get, list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
- {apiGroups: [networking.k8s.io], resources: [ingresses, ingressclasses], verbs: [get, list, watch]}
- {apiGroups: [networking.k8s.io], resources: [ingresses/status], verbs: [update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: traefik}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: traefik}
subjects: [{kind: ServiceAccount, name: traefik, namespace: %[1]s}]
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: traefik}
spec: {controller: traefik.io/ingress-controller}
---
apiVersion: v1
kind: Secret
metadata: {name: certificate, namespace: %[1]s}
type: kubernetes.io/tls
data: {tls.crt: %[2]s, tls.key: %[3]s}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: %[1]s}
spec:
  ingressClassName: traefik
  tls: [{hosts: [a.example.test, b.example.test], secretName: certificate}]
  rules:
  - host: a.example.test
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}]}
  - host: b.example.test
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: b, port: {number: 80}}}}]}
`

// ingressServices are two Services as the tutorials of 2017 write them, in front of an ingress controller and beside it, on one
// load balancer that exists. The value is their namespace.
const ingressServices = `
apiVersion: v1
kind: Service
metadata:
  name: traefik
  namespace: %[1]s
  annotations:
    service.beta.kubernetes.io/alicloud-loadbalancer-id: "lb-2017"
    service.beta.kubernetes.io/alicloud-loadbalancer-ProtocolPort: "http:80,http:443"
    service.beta.kubernetes.io/alicloud-loadbalancer-HealthCheckFlag: "off"
spec:
  type: LoadBalancer
  selector: {app: traefik}
  ports:
  - {name: http, port: 80, targetPort: 8000}
  - {name: https, port: 443, targetPort: 8443}
---
apiVersion: v1
kind: Service
metadata:
  name: direct
  namespace: %[1]s
  annotations:
    service.beta.kubernetes.io/alicloud-loadbalancer-id: "lb-2017"
    service.beta.kubernetes.io/alicloud-loadbalancer-ProtocolPort: "http:8080"
spec:
  type: LoadBalancer
  selector: {app: a}
  ports: [{port: 8080}]
`

// TestIngressController runs Traefik behind an address, the way most clusters use theirs: one address for all hosts.
func TestIngressController(t *testing.T) {
	root, err := lab.FindRoot()
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("the lab makes network namespaces, which needs root")
	}
	traefik, err := lab.IngressController(t.Context(), root, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	c := ownCloud(t, lab.Config{Nodes: 2})
	ctx := t.Context()
	if _, err := c.StartCCM(ctx, "ccm", lab.CCMOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.StartAnnouncers(ctx); err != nil {
		t.Fatal(err)
	}
	s := newSpace(t, c)
	addr := c.Pool4().First
	s.pool("p", []string{addr.String()})
	s.reserve(addr, func(spec *v1alpha1.VirtualIPSpec) { spec.ID = "lb-2017" })
	trust := s.ingressObjects(ctx)
	s.ingressBackends(ctx)
	if err := s.Apply(ctx, fmt.Sprintf(ingressServices, s.namespace)); err != nil {
		t.Fatal(err)
	}
	s.startTraefik(ctx, traefik)
	s.awaitAddresses("traefik", addr)
	s.awaitWarning("traefik", settings.ReasonIgnored, "alicloud-loadbalancer-ProtocolPort", "http:80, http:443", "passes through as TCP")

	lab.Await(ctx, t, "our address in the Ingress's status", func(ctx context.Context) (bool, string, error) {
		ingress, err := c.Client().NetworkingV1().Ingresses(s.namespace).Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		have := ingress.Status.LoadBalancer.Ingress
		return len(have) == 1 && have[0].IP == addr.String(), fmt.Sprintf("%+v", have), nil
	})
	for _, scheme := range []string{"http", "https"} {
		for _, backend := range []string{"a", "b"} {
			url := scheme + "://" + backend + "." + ingressDomain
			lab.Await(ctx, t, "the right pod behind "+url, func(ctx context.Context) (bool, string, error) {
				answer, err := c.askHost(ctx, addr, url, trust)
				return err == nil && answer.Pod == "web-"+backend, fmt.Sprintf("%+v, error %v", answer, err), nil
			})
		}
	}
	s.awaitAddresses("direct", addr)
	lab.Await(ctx, t, "a pod beside the ingress controller on the same address", func(ctx context.Context) (bool, string, error) {
		answer, err := c.Ask(ctx, lab.Far, "http://"+net.JoinHostPort(addr.String(), "8080"))
		return err == nil && answer.Pod == "web-a", fmt.Sprintf("%+v, error %v", answer, err), nil
	})
	if _, err := c.askHost(ctx, addr, "http://c."+ingressDomain, trust); err == nil {
		t.Error("a host that no rule names is answered")
	}
}

// askHost asks from the far network for a URL whose host is at an address; https trusts the given certificates alone.
func (c *cloud) askHost(ctx context.Context, addr netip.Addr, url string, trust *x509.CertPool) (lab.Answer, error) {
	transport := &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: trust},
		DialContext: func(ctx context.Context, network, asked string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(asked)
			if err != nil {
				return nil, err
			}
			return c.Dial(ctx, lab.Far, network, net.JoinHostPort(addr.String(), port))
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return lab.Answer{}, err
	}
	response, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Do(request)
	if err != nil {
		return lab.Answer{}, err
	}
	defer response.Body.Close()
	var answer lab.Answer
	if response.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("%s answered %s", url, response.Status)
	}
	return answer, json.NewDecoder(response.Body).Decode(&answer)
}

// ingressObjects makes what the ingress controller needs, and returns the certificate that clients are to trust.
func (s *space) ingressObjects(ctx context.Context) *x509.CertPool {
	s.t.Helper()
	made := s.certificate("*." + ingressDomain)
	secret, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		s.t.Fatal(err)
	}
	encode := func(kind string, data []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
	}
	if err := s.Apply(ctx, fmt.Sprintf(ingressObjects, s.namespace, encode("CERTIFICATE", made.Certificate[0]), encode("PRIVATE KEY", secret))); err != nil {
		s.t.Fatal(err)
	}
	trust := x509.NewCertPool()
	trust.AddCert(made.Leaf)
	return trust
}

// certificate makes one that vouches for itself.
func (s *space) certificate(name string) tls.Certificate {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// ingressBackends starts a pod on each node, each behind a Service of its own.
func (s *space) ingressBackends(ctx context.Context) {
	s.t.Helper()
	for i, name := range []string{"a", "b"} {
		_, err := s.StartPod(ctx, lab.PodSpec{
			Name: "web-" + name, Namespace: s.namespace, Node: lab.NodeName(i + 1), Labels: map[string]string{"app": name},
		})
		if err != nil {
			s.t.Fatal(err)
		}
		s.service(name, noBalancer)
	}
}

// startTraefik runs Traefik in a pod.
func (s *space) startTraefik(ctx context.Context, program string) {
	s.t.Helper()
	pod, err := s.StartPod(ctx, lab.PodSpec{
		Name: "traefik", Namespace: s.namespace, Node: lab.NodeName(1), Labels: map[string]string{"app": "traefik"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	// A pod that asks the API server needs a way back to it, which backends do not.
	if _, err := s.Exec(ctx, lab.ControlPlane, "ip", "route", "add", pod.Addr4.String()+"/32", "via", s.Addr4(pod.Node).String()); err != nil {
		s.t.Fatal(err)
	}
	kubeconfig, err := s.ServiceAccountKubeconfig(ctx, s.namespace, "traefik", "")
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = s.StartProcess(pod.Host(), lab.Command{
		Name: "traefik", Path: program, Env: []string{"KUBECONFIG=" + kubeconfig},
		Args: []string{
			"--entryPoints.web.address=:" + strconv.Itoa(ingressHTTP), "--entryPoints.websecure.address=:" + strconv.Itoa(ingressHTTPS),
			"--entryPoints.websecure.http.tls=true", "--providers.kubernetesingress=true",
			"--providers.kubernetesingress.ingressendpoint.publishedservice=" + s.namespace + "/traefik",
			"--global.checknewversion=false", "--global.sendanonymoususage=false",
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
}
